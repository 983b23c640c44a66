"""The words of the world: word classes, verb forms, plurals, and the templates that the grammar fills.

Pure data: it knows no chance, no voice and no task. A class is a tuple of words or short phrases; a verb class holds
rows of four forms (base, third person, past, -ing), reached as ``class``, ``class_s``, ``class_ed``, ``class_ing``;
a countable class has its plurals in ``class + "s"``. Everything is lower case, without digits or apostrophes. Words
that sound alike are left out where English lets us. Source: our own lists.
"""


def _words(text: str) -> tuple[str, ...]:
    """Split at white space; an underscore is a space inside one entry."""
    return tuple(entry.replace("_", " ") for entry in text.split())


COUNTABLE: dict[str, tuple[str, ...]] = {
    "thing": _words(
        "bag ball bell book bottle bowl box camera clock coin cup "
        "fork key knife lamp letter map mirror "
        "pen pencil phone picture plate pot present radio ring rope spoon "
        "tent ticket toy whistle guitar piano violin trumpet flute"
    ),
    "furniture": _words("table chair sofa bed desk shelf bench fridge oven window door "),
    "animal": _words(
        "dog cat horse cow pig sheep goat chicken duck goose mouse rabbit lion tiger elephant "
        "wolf fox eagle frog snake bee "
        "fish "
    ),
    "fruit": _words("apple banana lemon peach melon cherry grape tomato potato carrot onion egg"),
    "dish": _words("sandwich pizza burger cake pancake salad"),
    "garment": _words("coat hat shirt jacket dress belt sock glove boot shoe tie cap "),
    "vehicle": _words("car bus train truck bicycle boat ship taxi plane "),
    "job": _words(
        "doctor nurse teacher farmer driver baker painter singer dancer soldier pilot "
        "writer actor artist judge student hunter "
        "policeman"
    ),
    "family": _words("mother father sister brother uncle cousin grandmother grandfather daughter husband wife nephew"),
    "person": _words("man woman boy girl baby child neighbour friend guest stranger"),
    "plant": _words("tree bush leaf branch stone"),
    "sky": _words("cloud star"),
    "building": _words("house tower bridge castle palace wall fence roof"),
}

# Plurals that the rules below do not make.
IRREGULAR: dict[str, str] = {
    "knife": "knives", "shelf": "shelves", "sheep": "sheep", "goose": "geese", "mouse": "mice", "wolf": "wolves",
    "fish": "fish", "leaf": "leaves", "wife": "wives", "man": "men", "woman": "women", "child": "children",
    "policeman": "policemen", "roof": "roofs", "tomato": "tomatoes", "potato": "potatoes", "radio": "radios",
}  # fmt: skip

CLASSES: dict[str, tuple[str, ...]] = {
    "name": _words(
        "adam alice anna clara daniel david ella emma george "
        "hannah helen henry james john julia kevin leo linda lucy maria "
        "martin nina oliver paul peter philip robert ruby sarah "
        "simon tina zoe"
    ),
    "room": _words("kitchen bedroom bathroom garden garage attic cellar hallway office classroom library corridor"),
    "place": _words(
        "park market school hospital station airport museum theatre restaurant bakery pharmacy bank church hotel "
        "harbour stadium zoo factory village city supermarket cinema cafe gym beach forest farm desert island "
        "valley lake river mountain playground university"
    ),
    "city": _words(
        "london paris berlin madrid tokyo cairo boston chicago dublin lisbon moscow sydney toronto vienna delhi oslo "
        "prague athens seattle glasgow"
    ),
    "country": _words("canada france spain italy germany japan brazil egypt mexico norway kenya poland sweden ireland"),
    "day": _words("monday tuesday wednesday thursday friday saturday sunday"),
    "month": _words("january february march april may june july august september october november december"),
    "season": _words("spring summer autumn winter"),
    "daypart": _words("this_morning this_afternoon this_evening tonight yesterday last_night last_week last_year"),
    "soon": _words("today tomorrow tonight next_week next_month next_year this_afternoon this_evening"),
    "hour": _words("one two three four five six seven eight nine ten eleven twelve"),
    "minute": _words("fifteen twenty thirty forty fifty ten forty_five twenty_five fifty_five thirty_five"),
    "ones": _words("one two three four five six seven eight nine"),
    "teens": _words("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"),
    "tens": _words("twenty thirty forty fifty sixty seventy eighty ninety"),
    "few": _words("two three four five six seven eight nine ten eleven twelve"),
    "ordinal": _words(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth twentieth thirtieth"
    ),
    "colour": _words("red blue green yellow black white brown pink purple grey orange golden silver"),
    "size": _words("small big large tiny huge little tall long wide narrow heavy thin thick"),
    "quality": _words(
        "old new young beautiful broken clean dirty dry wet empty full expensive cheap strange simple modern ancient "
        "strong soft smooth round square sharp famous lovely ugly hidden wooden useful perfect ordinary special"
    ),
    "temper": _words("kind clever lazy brave gentle polite honest friendly careful patient quiet funny serious rich"),
    "feeling": _words(
        "happy sad angry tired hungry thirsty nervous proud lonely surprised worried excited afraid jealous calm "
        "grateful confused cheerful sleepy ill"
    ),
    "weather": _words("sunny cloudy rainy windy snowy foggy stormy icy freezing"),
    "hotness": _words("hot cold warm cool mild humid"),
    "storm": _words("rain snow wind fog thunder lightning frost hail sunshine"),
    "drink": _words("water milk coffee tea juice wine beer lemonade chocolate"),
    "food": _words("bread cheese butter rice soup pasta honey sugar salt chicken_soup ice_cream jam yogurt garlic"),
    "meal": _words("breakfast lunch dinner supper"),
    "body": _words(
        "arm leg hand foot finger thumb head back neck shoulder elbow wrist ankle stomach chest ear mouth tooth"
    ),
    "material": _words("wood gold steel glass paper leather plastic cotton silk wool metal"),
    "school": _words("history music science geography english spanish french german chemistry biology"),
    "sport": _words("football tennis chess golf hockey basketball volleyball cricket cards"),
    "song": _words("jazz rock blues folk opera classical_music dance_music"),
    "direction": _words("north south east west left right"),
    "adverb": _words(
        "slowly quickly quietly loudly carefully suddenly happily badly gently bravely easily politely together alone "
        "outside inside upstairs downstairs again often early late"
    ),
    "often": _words("always never sometimes usually often rarely"),
    "unit": _words("minutes hours days weeks months years"),
    "money": _words("dollars euros pounds"),
    "near": _words("near behind under beside above below across_from in_front_of next_to far_from"),
    "be": _words("is was"),
    "shop": _words("shop store"),
    "container": _words("cup glass bottle pot jug"),
    "event": _words("party wedding concert exam lesson match holiday festival race interview birthday"),
    "news": _words("news answer story truth secret problem question idea plan rule mistake joke"),
    "language": _words("english spanish french german italian russian japanese chinese arabic"),
}

# Verbs in four forms: base, third person, past, -ing.
VERBS: dict[str, tuple[tuple[str, ...], ...]] = {
    name: tuple(tuple(row.split()) for row in rows.split(","))
    for name, rows in {
        "handle": "find finds found finding, lose loses lost losing, carry carries carried carrying, take takes took "
        "taking, bring brings brought bringing, drop drops dropped dropping, hide hides hid hiding, clean cleans "
        "cleaned cleaning, break breaks broke breaking, fix fixes fixed fixing, want wants wanted wanting, "
        "need needs needed needing, choose chooses chose choosing, hold holds held holding, open opens opened opening, "
        "keep keeps kept keeping, push pushes pushed pushing, pull pulls pulled pulling, throw throws tossed throwing, "
        "borrow borrows borrowed borrowing, steal steals stole stealing, return returns returned returning, "
        "paint paints painted painting, wash washes washed washing, use uses used using, forget forgets forgot "
        "forgetting, touch touches touched touching, draw draws drew drawing, lift lifts lifted lifting",
        "trade": "buy buys bought buying, sell sells sold selling, order orders ordered ordering, send sends sent "
        "sending, give gives gave giving, show shows showed showing",
        "eat": "eat eats devoured eating, cook cooks cooked cooking, taste tastes tasted tasting, make makes made "
        "making, cut cuts cut cutting, share shares shared sharing, finish finishes finished finishing, "
        "prepare prepares prepared preparing, serve serves served serving",
        "drink_verb": "drink drinks drank drinking, refuse refuses refused refusing, spill spills spilled spilling",
        "meet": "meet meets met meeting, help helps helped helping, call calls called calling, visit visits visited "
        "visiting, follow follows followed following, thank thanks thanked thanking, love loves loved loving, "
        "admire admires admired admiring, invite invites invited inviting, trust trusts trusted trusting, "
        "marry marries married marrying, remember remembers remembered remembering, see sees saw seeing, "
        "teach teaches taught teaching, kiss kisses kissed kissing, hear hears heard hearing",
        "go": "go goes went going, walk walks walked walking, run runs ran running, drive drives drove driving, "
        "travel travels travelled travelling, return returns returned returning, fly flies flew flying, hurry hurries "
        "hurried hurrying, move moves moved moving, ride rides cycled riding",
        "rest": "sleep sleeps slept sleeping, wait waits waited waiting, sit sits sat sitting, stand stands stood "
        "standing, work works worked working, play plays played playing, sing sings sang singing, dance dances danced "
        "dancing, laugh laughs laughed laughing, cry cries cried crying, rest rests "
        "rested resting, stay stays stayed staying, live lives lived living, talk talks talked talking, "
        "swim swims swam swimming, smile smiles smiled smiling, study studies studied studying, "
        "listen listens listened listening, dream dreams dreamed dreaming, shout shouts shouted shouting",
        "begin": "begin begins began beginning, start starts started starting, end ends ended ending, "
        "close closes closed closing, change changes changed changing",
        "speak": "tell tells told telling, ask asks asked asking, remind reminds reminded reminding, "
        "warn warns warned warning",
        "move_animal": "chase chases chased chasing, bite bites bit biting, feed feeds fed feeding, "
        "watch watches watched watching, catch catches caught catching",
        "act": "jump jumps jumped jumping, climb climbs climbed climbing, hide hides hid hiding, "
        "fall falls fell falling, wake wakes woke waking, escape escapes escaped escaping, "
        "arrive arrives arrived arriving, leave leaves departed leaving, appear appears appeared appearing",
        "wear": "wear wears wore wearing, iron irons ironed ironing, fold folds folded folding",
        "like": "like likes liked liking, hate hates hated hating, prefer prefers preferred preferring, "
        "enjoy enjoys enjoyed enjoying, miss misses missed missing, learn learns learned learning",
    }.items()
}

# Rules: a slot that expands to one of several templates.
RULES: dict[str, tuple[str, ...]] = {
    "who": ("{name}", "{name}", "{name}", "the {job}", "the {job}", "my {family}", "our {family}", "the {person}"),
    "whom": ("{name}", "the {job}", "my {family}", "her {family}", "his {family}", "the {person}"),
    "people": ("the {jobs}", "my {familys}", "the {persons}", "{name} and {name}", "{few} {jobs}", "all the {persons}"),
    "clock": (
        "{hour} {minute}", "{hour} {minute}", "{hour} o clock", "half past {hour}", "quarter past {hour}",
        "quarter to {hour}", "noon", "midnight",
    ),
    "date": ("the {ordinal} of {month}", "{month} {ordinal}"),
    "past": ("on {day}", "in {month}", "at {clock}", "{daypart}", "last {season}", "{few} {unit} ago", "on {date}"),
    "future": ("on {day}", "in {month}", "at {clock}", "{soon}", "next {season}", "in {few} {unit}", "on {date}"),
    "where": (
        "in the {room}", "in the {room}", "at the {place}", "near the {place}", "in {city}", "in {country}",
        "behind the {place}", "outside the {place}",
    ),
    "whither": ("to the {place}", "to the {room}", "to {city}", "to {country}", "from {city} to {country}", "home"),
    "adjective": ("{colour}", "{colour}", "{size}", "{quality}", "{size} {colour}"),
    "item": ("the {adjective} {thing}", "the {thing}", "a {adjective} {thing}", "my {thing}", "the {furniture}",
             "the {adjective} {furniture}", "this {thing}", "that {thing}"),
    "object": ("{item}", "{item}", "{item}", "{few} {things}", "those {things}", "the {colour} {things}"),
    "eatable": ("the {dish}", "some {food}", "a {fruit}", "{few} {fruits}", "the {food}", "a {dish}", "{few} {dishs}"),
    "clothing": ("a {colour} {garment}", "the {adjective} {garment}", "{few} {garments}", "an old {garment}"),
    "beast": ("the {animal}", "a {adjective} {animal}", "the {colour} {animal}", "a {animal}", "the {size} {animal}"),
    "beasts": ("the {animals}", "{few} {animals}", "all the {animals}", "many {animals}", "the {colour} {animals}"),
    "number": ("{few}", "{few}", "{teens}", "{tens}", "{tens} {ones}", "{ones} hundred"),
    "ride": ("the {vehicle}", "the {colour} {vehicle}", "a {quality} {vehicle}", "the {adjective} {vehicle}"),
    "building_phrase": ("the {adjective} {building}", "an {quality} {building}", "the {building}"),
}  # fmt: skip

# Sentences. A slot's class says which fact it gives; two of one kind in a sentence make neither askable.
TEMPLATES: tuple[str, ...] = (
    "{who} {handle_ed} {object} {where}",
    "{who} {handle_ed} {object} {past}",
    "{who} {handle_s} {object} every {day}",
    "{who} is {handle_ing} {object}",
    "{who} will {handle} {object} {future}",
    "{who} wants to {handle} {object}",
    "did {who} {handle} {object} {past}",
    "why did {who} {handle} {object}",
    "please {handle} {object} for {whom}",
    "{who} could not {handle} {object}",
    "{who} {trade_ed} {number} {things} {past}",
    "{who} {trade_ed} {clothing} for {number} {money}",
    "{who} {trade_s} {fruits} at the {place}",
    "{who} gave {object} to {whom}",
    "{who} {trade_ed} {object} for {whom}",
    "how much does {item} cost",
    "{item} costs {number} {money}",
    "they paid {number} {money} for {ride}",
    "{who} {eat_ed} {eatable} for {meal}",
    "{who} {eat_s} {eatable} {where}",
    "we are {eat_ing} {eatable} for {meal}",
    "would you like some {food} and a {container} of {drink}",
    "{who} {drink_verb_ed} the {drink} {where}",
    "{who} {drink_verb_s} {drink} every morning",
    "there is no more {drink} in the {furniture}",
    "{who} ordered {eatable} with {food}",
    "{who} {meet_ed} {whom} {where}",
    "{who} {meet_s} {whom} every {day}",
    "{who} will {meet} {whom} {future}",
    "they {meet_ed} {whom} {past}",
    "i am {meet_ing} {whom} {future}",
    "{who} {go_ed} {whither} {past}",
    "{who} {often} {go_s} {whither} by {vehicle}",
    "we will {go} {whither} {future}",
    "{people} {go_ed} {whither} {adverb}",
    "{who} is {go_ing} {whither} with {whom}",
    "turn {direction} at the {place} and walk to the {place}",
    "the {place} is {number} miles {direction} of {city}",
    "{ride} leaves for {city} at {clock}",
    "{ride} stopped {near} the {place}",
    "{ride} from {city} was {number} {unit} late",
    "{who} {rest_ed} {where} {past}",
    "{who} is {rest_ing} {where}",
    "{people} {rest_ed} {adverb} {where}",
    "{who} {rest_s} {adverb} {where}",
    "do not {rest} {where}",
    "{who} is {rest_ing} on the balcony",
    "the {event} {begin_s} at {clock} on {day}",
    "the {event} {begin_ed} {where} {past}",
    "the {shop} opens at {clock}",
    "the next {event} is {future}",
    "{who} {speak_ed} {whom} about the {event}",
    "{who} told me the {news} {past}",
    "nobody knows the {news} about {whom}",
    "{beast} {move_animal_ed} {whom} {where}",
    "{beast} is {move_animal_ing} {beasts}",
    "{beasts} {act_ed} {where} {past}",
    "{beast} {act_ed} {near} the {furniture}",
    "{beasts} were {act_ing} {adverb}",
    "{who} saw {beast} {near} the {building}",
    "i have {number} {animals} and a {garment}",
    "there are {number} {animals} {where}",
    "{who} {wear_ed} {clothing} {past}",
    "{who} is {wear_ing} {clothing}",
    "do you want to {wear} {clothing} {future}",
    "what should i {wear} for the {event}",
    "please write {whom} a letter about the {event}",
    "i know that {who} {act_ed} {past}",
    "where did you buy that {colour} {garment}",
    "her {garment} is {colour} and {quality}",
    "{who} {like_s} {sport} and {school}",
    "{who} {like_s} {song} more than {sport}",
    "{who} {like_ed} the {school} lesson {past}",
    "{who} {be} {feeling} {past}",
    "{who} {be} {feeling} because of the {news}",
    "are you {feeling} or {feeling}",
    "{who} is a {temper} {job=job}",
    "{who} is more {temper} than {whom}",
    "it was {weather} {where} {past}",
    "it will be {weather} and {hotness} {future}",
    "there was {storm} and {storm} {past}",
    "the {storm} began {past}",
    "the weather in {city} is {weather}",
    "my {body} hurts since {day}",
    "{who} broke his {body} {where}",
    "{who} washed her {body} with {hotness} water",
    "{building_phrase} is made of {material}",
    "{who} built {building_phrase} {where}",
    "{building_phrase} stands {near} the {place}",
    "the {thing} is {near} the {furniture}",
    "put the {colour} {thing} {near} the {furniture}",
    "there are {number} {things} on the {furniture}",
    "the {material} {thing} is very {quality}",
    "is the {thing} {colour} or {colour}",
    "a {plant} fell on the {vehicle} {where}",
    "a {colour} {sky} is above the {building}",
    "there are {few} {skys} over {city}",
    "the {plants} are {colour} in {season}",
    "{who} was born on {date}",
    "{who} is {number} years old",
    "{who} lives at number {number} {where}",
    "my phone number is {ones} {ones} {ones} {ones} {ones} {ones}",
    "{who} speaks {language} and {language}",
    "can you say that in {language}",
    "if it is {weather} we stay {where}",
    "when {who} {act_ed} it was {clock}",
    "although it was {hotness} {who} {go_ed} {whither}",
    "i think that {who} {handle_ed} {object}",
    "{who} said that {who} is {feeling}",
    "only {number} {persons} came to the {event}",
    "what a {quality} {thing} this is",
    "the {ordinal} {vehicle} is {colour}",
    "both {familys} are {jobs=job} {where}",
)

# Short phrases, one to four words ("{word}" is any word of the vocabulary).
PHRASES: tuple[str, ...] = (
    "{word}", "{word}", "{word}", "{word}", "the {adjective} {thing}", "the {colour} {animal}", "{number} {things}",
    "in the {room}", "at the {place}", "{clock}", "{handle} the {thing}", "{number}", "on {day}", "{date}",
    "{name} and {name}", "my {family}", "the {job}", "{near} the {furniture}", "a {feeling} {person}",
    "{weather} and {hotness}", "{food} and {drink}", "a {container} of {drink}", "{often} {adverb}", "{adverb}",
    "turn {direction}", "from {city}", "a {colour} {garment}", "{number} {money}", "good morning {name}",
    "good night", "thank you {name}", "hello {name}", "see you {soon}", "{rest_ing} {adverb}", "the {material} {thing}",
    "{quality} {building}", "{eat_ing} {food}", "yes please", "no thank you", "{familys} and {familys}",
)  # fmt: skip

# Words that sound like another word of the vocabulary: nobody can tell them apart without a sentence around them.
HOMOPHONES: frozenset[str] = frozenset(
    _words("be bee buy by for four know no right write some steal steel to two wear where wood would")
)

UNHEARD: tuple[str, ...] = _words(
    "absence abstract accident account acid acorn advance advice agony alloy almond alphabet ambition anchor angle "
    "anthem apron arrow aspect attempt autograph avenue badge balloon bandage banner barrel battery beard bicep bishop "
    "blossom bonus border bracelet brick bronze bubble budget bulb cabin cactus canal captain caravan cargo cathedral "
    "cement century chapter chimney circle climate cobweb collar colony comedy compass copper coral cottage council "
    "cradle crater crayon crowd crystal culture cushion damage debate decade degree delay demand deposit detail devil "
    "diamond diet dinosaur district domain dragon drama dust dwarf earthquake echo edition effort emperor empire enemy "
    "energy engine essay estate evidence example exit expert fabric failure fashion fever fiction flame flag flood "
    "formula fortune fountain fraction freedom frozen funeral galaxy gallery gesture giant ginger glacier globe goal "
    "gravel guardian habit harvest helmet hero horizon hostage hunger image industry insect jewel jungle kettle "
    "kingdom label lava legend liberty limit liquid logic lobster lumber magnet mammal marble mask medal melody memory "
    "mercy method mineral miracle mixture model monster monument motor muscle mystery nectar nerve noodle novel ocean "
    "olive orbit orchard organ oxygen oyster package panic parade passport pattern pebble pension petal pilgrim pirate "
    "planet poison pottery powder prison profit puzzle pyramid rabble ransom recipe"
)
