"""Write subtitles (SRT) of a recording of any length to standard output.

python examples/subtitles.py FILE [MODEL]
"""

import sys

import ossicle


def stamp(seconds: float) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d},{milliseconds:03d}"


def main(file: str, name: str = "mini") -> None:
    transcript = ossicle.transcribe(ossicle.load(name), file, max_tokens=100)
    spoken = [segment for segment in transcript.segments if segment.text]
    for number, segment in enumerate(spoken, 1):
        print(f"{number}\n{stamp(segment.start_s)} --> {stamp(segment.end_s)}\n{segment.text}\n")


main(*sys.argv[1:])
