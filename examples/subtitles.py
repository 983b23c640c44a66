"""Write subtitles (SRT) of a recording of any length to standard output.

python examples/subtitles.py FILE [MODEL]
"""

import sys

import ossicle
from ossicle.infer.subtitles import cues, srt


def main(file: str, name: str = "mini") -> None:
    transcript = ossicle.transcribe(ossicle.load(name), file, max_tokens=100)
    print(srt(cues(transcript.segments)))


main(*sys.argv[1:])
