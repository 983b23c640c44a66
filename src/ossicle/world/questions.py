"""How each task is asked: plain-language phrasings, and the fixed words of captions.

Pure data; every question says, or leaves no doubt, that the answer is short. ``{noun}`` stands for the kind of fact or
slot that is asked for. Source: our own lists.
"""

TRANSCRIBE: tuple[str, ...] = (
    "what is said?",
    "what does the speaker say?",
    "write down what is said.",
    "transcribe the speech.",
    "which words do you hear?",
    "repeat what the person says.",
    "what are the words?",
    "type out the speech, word for word.",
    "please write the spoken words.",
    "give me a transcript.",
)

# What is asked for: its noun, and questions of its own beside the general ones.
FACT_NOUN: dict[str, str] = {
    "who": "person",
    "where": "place",
    "when": "time",
    "colour": "colour",
    "number": "number",
    "animal": "animal",
    "food": "food",
    "drink": "drink",
    "clothes": "piece of clothing",
    "vehicle": "vehicle",
    "what": "object",
    "weather": "kind of weather",
    "feeling": "feeling",
    "event": "event",
    "material": "material",
    "language": "language",
    "subject": "school subject",
    "sport": "sport",
    "body": "part of the body",
    "direction": "direction",
    "job": "job",
}
FACT: tuple[str, ...] = (
    "which {noun} is named?",
    "what {noun} does the speaker mention?",
    "name the {noun} that you hear.",
    "tell me the {noun} in the sentence.",
    "listen for the {noun}: which is it?",
    "which {noun} is spoken of? answer briefly.",
    "give only the {noun} that is mentioned.",
    "what is the {noun} in what is said?",
)
FACT_OWN: dict[str, tuple[str, ...]] = {
    "who": ("who is it about?", "who is mentioned?", "of whom does the speaker talk?"),
    "where": ("where is it?", "where does it happen?", "where does the speaker say it is?"),
    "when": ("when is it?", "when does it happen?", "when does the speaker say it is?"),
    "colour": ("what colour is it?", "which colour has it?"),
    "number": ("how many are there?", "how many does the speaker say?"),
    "animal": ("which animal is it about?",),
    "food": ("what is there to eat?",),
    "drink": ("what is there to drink?",),
    "what": ("which thing is it about?",),
    "weather": ("how is the weather?",),
    "feeling": ("how does the person feel?",),
    "material": ("what is it made of?",),
    "job": ("what is the job of the person?",),
}

INTENT: tuple[str, ...] = (
    "what does the speaker want?",
    "what is the command?",
    "which command is given? answer with its name.",
    "what is the intent?",
    "name the intent of the speaker.",
    "what should the machine do?",
    "what kind of request is this?",
    "what is asked for? answer in two or three words.",
    "which task does the speaker give?",
)

SLOT_NOUN: dict[str, str] = {
    "time": "time",
    "number": "number",
    "who": "person",
    "where": "place",
    "day": "day",
    "music": "kind of music",
    "colour": "colour",
    "what": "thing",
    "event": "event",
    "language": "language",
    "feeling": "feeling",
}
SLOT: tuple[str, ...] = (
    "which {noun} is in the command?",
    "which {noun} does the command name?",
    "what {noun} is asked for?",
    "give the {noun} of the request.",
    "tell me the {noun} in the command.",
    "which {noun} does the speaker say in the request?",
    "fill in the {noun} of the command.",
    "only the {noun} of the command, please.",
)
SLOT_OWN: dict[str, tuple[str, ...]] = {
    "time": ("for what time is the command?", "at what time?"),
    "who": ("who is meant in the command?",),
    "where": ("where does the command apply?",),
    "day": ("for which day is the command?",),
}

PITCH: tuple[str, ...] = (
    "is the voice low or high?",
    "does the speaker have a low or a high voice?",
    "how high is the voice, low or high?",
    "is the pitch of the speaker low or high?",
    "low or high: how is the voice?",
    "which pitch has the voice, high or low?",
    "tell me whether the voice is high or low.",
    "is this a high voice or a low voice? answer with one word.",
)

PACE: tuple[str, ...] = (
    "does the person speak slow or fast?",
    "is the speech slow or fast?",
    "how fast is the speaker, slow or fast?",
    "slow or fast: how is the speech?",
    "which pace has the speaker, fast or slow?",
    "is the speaker slow or fast? answer with one word.",
    "tell me whether the speech is fast or slow.",
    "are the words spoken slow or fast?",
)

SOUND: tuple[str, ...] = (
    "which sound is this?",
    "what do you hear? answer with one word.",
    "what makes this sound?",
    "name the sound.",
    "what is the sound?",
    "which sound do you hear?",
    "what is heard here? one word.",
    "tell me what makes the noise.",
    "what thing or animal is this?",
)

COUNT: tuple[str, ...] = (
    "how many times does it sound?",
    "how often do you hear it?",
    "count the sounds.",
    "how many sounds are there?",
    "how often is the sound made? answer with a number.",
    "what is the number of sounds?",
    "count how often the sound is heard.",
    "tell me how many times you hear the sound.",
)

FIRST_LAST: tuple[str, ...] = (
    "which sound is {noun}?",
    "which sound comes {noun}?",
    "what do you hear {noun}?",
    "name the sound that is heard {noun}.",
    "what is the {noun} sound?",
    "name only the {noun} sound.",
    "tell me which sound comes {noun}.",
    "of all the sounds, which is {noun}?",
)
ORDER: tuple[str, ...] = (
    "in which order do the sounds come?",
    "what is the order of the sounds?",
    "name the sounds in order.",
    "which sound follows which?",
    "list the sounds as they come.",
    "what do you hear, one after another?",
    "tell me the order of the sounds.",
    "which sounds are there, from first to last?",
)

WHEN: tuple[str, ...] = (
    "is the sound at the beginning, in the middle or at the end?",
    "where in the clip is the sound: beginning, middle or end?",
    "beginning, middle or end: when does it sound?",
    "at which part of the clip is the sound, beginning, middle or end?",
    "does the sound come at the beginning, in the middle or at the end?",
    "when is the sound heard, at the beginning, middle or end?",
    "which part has the sound: the beginning, the middle or the end?",
    "tell me if the sound is at the beginning, middle or end.",
)

INSTRUMENT: tuple[str, ...] = (
    "which instrument is playing?",
    "what instrument is it?",
    "name the instrument.",
    "on which instrument is this played?",
    "what instrument do you hear?",
    "who plays here, which instrument?",
    "tell me the instrument.",
    "which instrument makes this music?",
)

TEMPO: tuple[str, ...] = (
    "is the music slow or fast?",
    "how fast is the music, slow or fast?",
    "is the tempo slow or fast?",
    "slow or fast: how is the tune played?",
    "which tempo has the music, fast or slow?",
    "is the melody played slow or fast?",
    "tell me whether the music is fast or slow.",
    "is this a slow tune or a fast tune? answer with one word.",
)

MELODY: tuple[str, ...] = (
    "does the melody go up or down?",
    "do the notes go up or down?",
    "up or down: where does the tune go?",
    "is the melody going up or down?",
    "in which direction does the melody go, up or down?",
    "tell me whether the notes go up or down.",
    "where do the notes go, down or up?",
    "does the tune move up or down? answer with one word.",
)

KIND: tuple[str, ...] = (
    "is this speech, music, a sound or silence?",
    "what is in the clip: speech, music, sound or silence?",
    "speech, music, sound or silence?",
    "do you hear speech, music, a sound or silence?",
    "which of these is it: speech, music, sound, silence?",
    "is there speech, music, another sound or silence?",
    "what kind of audio is it: speech, music, sound or silence?",
    "tell me if this is speech, music, sound or silence.",
)

CAPTION: tuple[str, ...] = (
    "describe what you hear.",
    "what happens? answer with one short sentence.",
    "describe the scene in one sentence.",
    "give a caption for the audio.",
    "what is going on? one sentence.",
    "write a short caption.",
    "tell me in one sentence what you hear.",
    "caption this clip.",
)

# A stroke of a countable kind, as a clause; and a sound that goes on, as what lies under another.
CLAUSES: dict[str, str] = {
    "dog": "a dog barks",
    "cat": "a cat meows",
    "cow": "a cow moos",
    "bird": "a bird chirps",
    "frog": "a frog croaks",
    "bell": "a bell rings",
    "knock": "someone knocks",
    "clap": "someone claps",
    "drop": "water drips",
    "whistle": "a whistle blows",
    "horn": "a horn honks",
    "drum": "a drum beats",
    "beep": "a machine beeps",
    "phone": "a phone rings",
}
UNDER: dict[str, str] = {
    "cricket": "crickets",
    "clock": "a clock",
    "footsteps": "footsteps",
    "siren": "a siren",
    "alarm": "an alarm",
    "engine": "an engine",
    "rain": "rain",
    "wind": "wind",
    "thunder": "thunder",
}
