"""Orders to a machine and spoken questions with one short answer: the data of ``grammar.command`` and ``sum_question``.

Pure data. A slot ``{class=key}`` of a command is filled from the grammar's word classes and kept under ``key``.
Source: our own lists.
"""

from ossicle.world.words import CLASSES

COMMANDS: dict[str, tuple[str, ...]] = {
    "set alarm": (
        "set an alarm for {clock=time}",
        "wake me up at {clock=time}",
        "please wake me at {clock=time} on {day=day}",
        "i need an alarm on {day=day} at {clock=time}",
        "set the alarm clock to {clock=time}",
    ),
    "set timer": (
        "set a timer for {number=number} minutes",
        "start a timer of {number=number} seconds",
        "count down from {number=number} seconds",
        "tell me when {number=number} minutes are over",
    ),
    "play music": (
        "play some {song=music}",
        "play the new {song=music} album by {name=who}",
        "i want to hear {song=music} in the {room=where}",
        "put on {song=music} please",
        "start the {song=music} list in the {room=where}",
    ),
    "weather": (
        "what is the weather in {city=where}",
        "will it rain in {city=where} {soon=day}",
        "do i need an umbrella in {city=where} on {day=day}",
        "how cold is it in {country=where}",
        "give me the weather report for {city=where} {soon=day}",
    ),
    "light on": (
        "turn on the light in the {room=where}",
        "switch the {room=where} light on",
        "make the {room=where} light {colour=colour}",
        "please turn the {colour=colour} lamp on in the {room=where}",
    ),
    "light off": (
        "turn off the light in the {room=where}",
        "switch the {room=where} light off",
        "make it dark in the {room=where}",
        "please turn the {colour=colour} lamp off in the {room=where}",
    ),
    "call": (
        "call {name=who}",
        "please call my {family=who} at {clock=time}",
        "phone {name=who} now",
        "i want to talk to {name=who} on the phone",
        "make a call to the {job=who}",
    ),
    "send message": (
        "send a message to {name=who}",
        "text {name=who} that i am {feeling=feeling}",
        "write to my {family=who} that i come at {clock=time}",
        "send an email to {name=who} about the {event=event}",
        "tell {name=who} that the {event=event} is on {day=day}",
    ),
    "navigate": (
        "take me to the {place=where}",
        "how do i get to the {place=where}",
        "show me the way to {city=where}",
        "find the fastest route to the {place=where}",
        "drive to {city=where} by {clock=time}",
    ),
    "buy": (
        "buy {few=number} {fruits=what}",
        "order {few=number} {dishs=what} please",
        "add {food=what} to the shopping list",
        "i want to order a {colour=colour} {garment=what}",
        "put {few=number} {things=what} in my shopping basket",
    ),
    "calendar": (
        "add a {event=event} to my calendar on {day=day}",
        "what is in my calendar on {day=day}",
        "put the {event=event} with {name=who} in the calendar at {clock=time}",
        "move the {event=event} to {day=day}",
        "cancel the {event=event} on {date=day}",
    ),
    "reminder": (
        "remind me to call {name=who} at {clock=time}",
        "remind me to {handle=} the {thing=what} on {day=day}",
        "do not let me forget the {event=event} on {day=day}",
        "remind me about the {event=event} at {clock=time}",
    ),
    "volume up": (
        "turn up the volume in the {room=where}",
        "make the {song=music} louder",
        "louder please",
        "turn the volume up to {tens=number}",
    ),
    "volume down": (
        "turn down the volume in the {room=where}",
        "make the {song=music} quieter",
        "not so loud please",
        "turn the volume down to {tens=number}",
    ),
    "translate": (
        "translate {thing=what} into {language=language}",
        "what does {animal=what} mean in {language=language}",
        "how do you say {food=what} in {language=language}",
        "tell me the {language=language} word for {colour=what}",
    ),
    "heating": (
        "set the heating in the {room=where} to {number=number} degrees",
        "make the {room=where} warmer",
        "it is very cold in the {room=where}",
        "heat the {room=where} to {number=number} degrees",
    ),
}

# Arithmetic: phrasings, and the smallest and largest number of either side.
SUMS: dict[str, tuple[tuple[str, ...], tuple[int, int]]] = {
    "plus": (
        (
            "what is {a} plus {b}",
            "how much is {a} plus {b}",
            "add {a} and {b}",
            "{a} and {b} make how many",
            "{a} plus {b} is what",
        ),
        (1, 10),
    ),
    "minus": (
        (
            "what is {a} minus {b}",
            "how much is {a} minus {b}",
            "take {b} away from {a}",
            "what is left if you take {b} from {a}",
            "{a} minus {b} is what",
        ),
        (0, 10),
    ),
    "times": (
        ("what is {a} times {b}", "how much is {a} times {b}", "multiply {a} by {b}", "{a} times {b} is what"),
        (1, 5),
    ),
}


def _after(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple(zip(names, (*names[1:], names[0]), strict=True))


def _before(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((later, earlier) for earlier, later in _after(names))


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """``a:b, c:d`` to ((a, b), (c, d))."""
    return tuple((asked.strip(), answer.strip()) for asked, answer in (pair.split(":") for pair in text.split(",")))


_OPPOSITES = _pairs(
    "hot:cold, big:small, old:new, wet:dry, full:empty, clean:dirty, early:late, happy:sad, left:right, "
    "north:south, east:west, black:white, open:closed, cheap:expensive, thick:thin, up:down, inside:outside, "
    "always:never, upstairs:downstairs, first:last, soft:hard, fast:slow, beautiful:ugly, loud:quiet, wide:narrow"
)

FIXED: tuple[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], ...] = (
    (
        ("what day comes after {}", "which day follows {}", "if today is {} what is tomorrow", "name the day after {}"),
        _after(CLASSES["day"]),
    ),
    (
        ("what day comes before {}", "if today is {} what was yesterday", "name the day before {}"),
        _before(CLASSES["day"]),
    ),
    (("what month comes after {}", "which month follows {}", "name the month after {}"), _after(CLASSES["month"])),
    (("what month comes before {}", "name the month before {}"), _before(CLASSES["month"])),
    (("what season comes after {}", "which season follows {}"), _after(CLASSES["season"])),
    (("what number comes after {}", "which number follows {}", "count one more than {}"), _after(CLASSES["hour"])[:-1]),
    (("what number comes before {}", "count one less than {}"), _before(CLASSES["hour"])[:-1]),
    (
        ("what is the opposite of {}", "name the opposite of {}", "tell me the opposite of {}"),
        (*_OPPOSITES, *((answer, asked) for asked, answer in _OPPOSITES)),
    ),
    (
        ("how many legs does a {} have", "how many legs has a {}", "tell me how many legs a {} has"),
        _pairs("dog:four, cat:four, horse:four, bee:six, spider:eight, duck:two, cow:four, fish:zero, snake:zero, "
               "owl:two, chicken:two, butterfly:six, lion:four, goat:four, pigeon:two"),
    ),
    (
        ("what colour is {}", "tell me the colour of {}", "which colour has {}"),
        _pairs("grass:green, the sky:blue, snow:white, milk:white, a banana:yellow, a lemon:yellow, a tomato:red, "
               "a carrot:orange, chocolate:brown, a frog:green, a swan:white, a cherry:red, honey:golden"),
    ),
    (
        ("which animal {}", "what is the animal that {}", "name the animal that {}"),
        _pairs("barks:dog, gives us milk:cow, gives us wool:sheep, makes honey:bee, says meow:cat, "
               "eats bananas:monkey, has a long neck:giraffe, lays eggs:chicken, carries its house:turtle, "
               "flies at night:owl"),
    ),
    (
        ("how many {}", "tell me how many {}"),
        _pairs("days are in a week:seven, months are in a year:twelve, hours are in a day:twenty four, "
               "fingers are on one hand:five, seasons are in a year:four, "
               "wheels has a car:four, wheels has a bicycle:two, eyes do you have:two, ears do you have:two"),
    ),
    (
        ("what is the capital of {}", "name the capital of {}", "which city is the capital of {}"),
        _pairs("france:paris, spain:madrid, germany:berlin, japan:tokyo, egypt:cairo, ireland:dublin, norway:oslo"),
    ),
)  # fmt: skip

# Every answer that no question above spells in full: the numbers from zero to ninety nine.
ANSWERS: tuple[str, ...] = ("zero",)
