"""The words of the parallel world: nouns, verbs, adjectives, places and times in English, French and German.

Pure data, and the small rules that spell out regular forms; knows no chance and makes no sentence. Each word has one
translation, both ways, wherever the sentences of parallel.py use it: what means two things (French "fille", English
"fish", German "wenn" for "if") is left out or kept to one meaning. Source: our own lists.
"""

from ossicle.world.parallel_meaning import (
    Adjective,
    Fixed,
    Frame,
    French,
    Gender,
    German,
    Idiom,
    Name,
    Noun,
    Pronoun,
    Verb,
)

# ---- nouns: English, plural | French, gender, plural if irregular | German, gender, plural, other cases if weak -----

_NOUNS = {
    "person": """
        man men | homme m | Mann m Männer
        woman women | femme f | Frau f Frauen
        boy boys | garçon m | Junge m Jungen Jungen
        girl girls | fille f | Mädchen n Mädchen
        child children | enfant m | Kind n Kinder
        doctor doctors | médecin m | Arzt m Ärzte
        teacher teachers | professeur m | Lehrer m Lehrer
        farmer farmers | fermier m | Bauer m Bauern Bauern
        student students | étudiant m | Student m Studenten Studenten
        baker bakers | boulanger m | Bäcker m Bäcker
        policeman policemen | policier m | Polizist m Polizisten Polizisten
        waiter waiters | serveur m | Kellner m Kellner
        singer singers | chanteur m | Sänger m Sänger
        nurse nurses | infirmière f | Krankenschwester f Krankenschwestern
        tourist tourists | touriste m | Tourist m Touristen Touristen
    """,
    "kin": """
        mother mothers | mère f | Mutter f Mütter
        father fathers | père m | Vater m Väter
        brother brothers | frère m | Bruder m Brüder
        sister sisters | sœur f | Schwester f Schwestern
        uncle uncles | oncle m | Onkel m Onkel
        aunt aunts | tante f | Tante f Tanten
        grandmother grandmothers | grand-mère f grands-mères | Großmutter f Großmütter
        grandfather grandfathers | grand-père m grands-pères | Großvater m Großväter
        friend friends | ami m | Freund m Freunde
        neighbour neighbours | voisin m | Nachbar m Nachbarn Nachbarn
    """,
    "animal": """
        dog dogs | chien m | Hund m Hunde
        cat cats | chat m | Katze f Katzen
        horse horses | cheval m chevaux | Pferd n Pferde
        cow cows | vache f | Kuh f Kühe
        bird birds | oiseau m oiseaux | Vogel m Vögel
        mouse mice | souris f souris | Maus f Mäuse
        pig pigs | cochon m | Schwein n Schweine
        duck ducks | canard m | Ente f Enten
        goat goats | chèvre f | Ziege f Ziegen
        rabbit rabbits | lapin m | Kaninchen n Kaninchen
    """,
    "wild": """
        lion lions | lion m | Löwe m Löwen Löwen
        elephant elephants | éléphant m | Elefant m Elefanten Elefanten
        wolf wolves | loup m | Wolf m Wölfe
        snake snakes | serpent m | Schlange f Schlangen
        monkey monkeys | singe m | Affe m Affen Affen
    """,
    "tool": """
        book books | livre m | Buch n Bücher
        key keys | clé f | Schlüssel m Schlüssel
        lamp lamps | lampe f | Lampe f Lampen
        clock clocks | horloge f | Uhr f Uhren
        knife knives | couteau m couteaux | Messer n Messer
        fork forks | fourchette f | Gabel f Gabeln
        spoon spoons | cuillère f | Löffel m Löffel
        plate plates | assiette f | Teller m Teller
        cup cups | tasse f | Tasse f Tassen
        photo photos | photo f | Foto n Fotos
        newspaper newspapers | journal m journaux | Zeitung f Zeitungen
        phone phones | téléphone m | Telefon n Telefone
        flower flowers | fleur f | Blume f Blumen
        umbrella umbrellas | parapluie m | Regenschirm m Regenschirme
        present presents | cadeau m cadeaux | Geschenk n Geschenke
        pencil pencils | crayon m | Bleistift m Bleistifte
        mirror mirrors | miroir m | Spiegel m Spiegel
        guitar guitars | guitare f | Gitarre f Gitarren
        candle candles | bougie f | Kerze f Kerzen
        ring rings | bague f | Ring m Ringe
    """,
    "machine": """
        computer computers | ordinateur m | Computer m Computer
        radio radios | radio f | Radio n Radios
    """,
    "holder": """
        box boxes | boîte f | Kiste f Kisten
        bag bags | sac m | Tasche f Taschen
        suitcase suitcases | valise f | Koffer m Koffer
        basket baskets | panier m | Korb m Körbe
    """,
    "furniture": """
        table tables | table f | Tisch m Tische
        chair chairs | chaise f | Stuhl m Stühle
        bed beds | lit m | Bett n Betten
        sofa sofas | canapé m | Sofa n Sofas
        wardrobe wardrobes | armoire f | Schrank m Schränke
    """,
    "opening": """
        door doors | porte f | Tür f Türen
        window windows | fenêtre f | Fenster n Fenster
        bottle bottles | bouteille f | Flasche f Flaschen
        suitcase suitcases | valise f | Koffer m Koffer
    """,
    "vehicle": """
        car cars | voiture f | Auto n Autos
        bicycle bicycles | vélo m | Fahrrad n Fahrräder
        boat boats | bateau m bateaux | Boot n Boote
    """,
    "building": """
        house houses | maison f | Haus n Häuser
        tree trees | arbre m | Baum m Bäume
        bridge bridges | pont m | Brücke f Brücken
        church churches | église f | Kirche f Kirchen
        tower towers | tour f | Turm m Türme
    """,
    "garment": """
        shirt shirts | chemise f | Hemd n Hemden
        hat hats | chapeau m chapeaux | Hut m Hüte
        coat coats | manteau m manteaux | Mantel m Mäntel
        dress dresses | robe f | Kleid n Kleider
        jacket jackets | veste f | Jacke f Jacken
        skirt skirts | jupe f | Rock m Röcke
        scarf scarves | écharpe f | Schal m Schals
    """,
    "pair": """
        shoe shoes | chaussure f | Schuh m Schuhe
        sock socks | chaussette f | Socke f Socken
        glove gloves | gant m | Handschuh m Handschuhe
    """,
    "food": """
        apple apples | pomme f | Apfel m Äpfel
        pear pears | poire f | Birne f Birnen
        orange oranges | orange f | Orange f Orangen
        banana bananas | banane f | Banane f Bananen
        tomato tomatoes | tomate f | Tomate f Tomaten
        egg eggs | œuf m | Ei n Eier
        carrot carrots | carotte f | Karotte f Karotten
        cake cakes | gâteau m gâteaux | Kuchen m Kuchen
        lemon lemons | citron m | Zitrone f Zitronen
        onion onions | oignon m | Zwiebel f Zwiebeln
        strawberry strawberries | fraise f | Erdbeere f Erdbeeren
        cherry cherries | cerise f | Kirsche f Kirschen
    """,
    "dish": """
        bread - | pain m - | Brot n -
        cheese - | fromage m - | Käse m -
        meat - | viande f - | Fleisch n -
        rice - | riz m - | Reis m -
        soup - | soupe f - | Suppe f -
        butter - | beurre m - | Butter f -
        honey - | miel m - | Honig m -
        chocolate - | chocolat m - | Schokolade f -
    """,
    "drink": """
        water - | eau f - | Wasser n -
        milk - | lait m - | Milch f -
        coffee - | café m - | Kaffee m -
        tea - | thé m - | Tee m -
        beer - | bière f - | Bier n -
        wine - | vin m - | Wein m -
    """,
    "letter": """
        letter letters | lettre f | Brief m Briefe
    """,
    "text": """
        book books | livre m | Buch n Bücher
        letter letters | lettre f | Brief m Briefe
        newspaper newspapers | journal m journaux | Zeitung f Zeitungen
    """,
    "song": """
        song songs | chanson f | Lied n Lieder
    """,
    "transport": """
        bus buses | bus m bus | Bus m Busse
        train trains | train m | Zug m Züge
        plane planes | avion m | Flugzeug n Flugzeuge
    """,
    "event": """
        film films | film m | Film m Filme
        concert concerts | concert m | Konzert n Konzerte
        class classes | cours m cours | Unterricht m -
    """,
    "shop": """
        shop shops | magasin m | Laden m Läden
        museum museums | musée m | Museum n Museen
        bakery bakeries | boulangerie f | Bäckerei f Bäckereien
        library libraries | bibliothèque f | Bibliothek f Bibliotheken
    """,
}
HUMAN = ("person", "kin")
UNCOUNTED = ("dish", "drink")
SEVERAL = ("brother", "sister", "uncle", "aunt", "friend", "neighbour")
"""Kin that one can have several of."""
OWNABLE = ("house", "tree")
"""Buildings, and what stands among them, that can be somebody's."""
CHILDREN = ("boy", "girl", "child")


def _gender(text: str) -> Gender:
    assert text in ("m", "f", "n"), text
    return "m" if text == "m" else "f" if text == "f" else "n"


def _noun(line: str, human: bool) -> Noun:
    english, french, german = (part.split() for part in line.split("|"))
    fr_plural = french[2] if len(french) > 2 else french[0] + "s"
    weak = german[3] if len(german) > 3 else None
    return Noun(
        english[0],
        english[1],
        french[0],
        fr_plural,
        _gender(french[1]),
        german[0],
        german[2],
        _gender(german[1]),
        weak,
        human,
    )


NOUNS: dict[str, tuple[Noun, ...]] = {
    name: tuple(_noun(line, name in HUMAN) for line in lines.strip().splitlines()) for name, lines in _NOUNS.items()
}
NAMES: tuple[Name, ...] = (
    *(Name(text, "f") for text in ["Anna", "Julia", "Emma", "Sarah", "Lisa", "Nina", "Maria", "Clara", "Laura"]),
    *(Name(text, "m") for text in ["Paul", "Martin", "David", "Daniel", "Robert", "Simon", "Victor", "Oscar"]),
)
PRONOUNS: dict[str, Pronoun] = {
    "I": Pronoun("I", "1s", "m"),
    "you": Pronoun("you", "2s", "m"),
    "he": Pronoun("he", "3s", "m"),
    "she": Pronoun("she", "3s", "f"),
    "we": Pronoun("we", "1p", "m"),
}
WHO = Pronoun("who", "3s", "m")

# ---- adjectives: English[/of people], comparative | French masculine, feminine, before a vowel | German, comparative -

_BEFORE = """
    big/tall bigger/taller | grand grande | groß größer
    small smaller | petit petite | klein kleiner
    old older | vieux vieille vieil | alt älter
    young younger | jeune jeune | jung jünger
    beautiful more_beautiful | beau belle bel | schön schöner
    new newer | nouveau nouvelle nouvel | neu neuer
    good better | bon bonne | gut besser
"""
_AFTER = """
    red redder | rouge rouge | rot röter
    green greener | vert verte | grün grüner
    black blacker | noir noire | schwarz schwärzer
    white whiter | blanc blanche | weiß weißer
    blue bluer | bleu bleue | blau blauer
    yellow yellower | jaune jaune | gelb gelber
    grey greyer | gris grise | grau grauer
    expensive more_expensive | cher chère | teuer teurer
    clean cleaner | propre propre | sauber sauberer
    dirty dirtier | sale sale | schmutzig schmutziger
    heavy heavier | lourd lourde | schwer schwerer
    empty emptier | vide vide | leer leerer
    cold colder | froid froide | kalt kälter
    hot hotter | chaud chaude | heiß heißer
    fast faster | rapide rapide | schnell schneller
    slow slower | lent lente | langsam langsamer
    strong stronger | fort forte | stark stärker
    rich richer | riche riche | reich reicher
    poor poorer | pauvre pauvre | arm ärmer
    clever cleverer | intelligent intelligente | klug klüger
    kind kinder | gentil gentille | nett netter
    sad sadder | triste triste | traurig trauriger
    happy happier | heureux heureuse | glücklich glücklicher
    tired more_tired | fatigué fatiguée | müde müder
    sick sicker | malade malade | krank kränker
    famous more_famous | célèbre célèbre | berühmt berühmter
    dangerous more_dangerous | dangereux dangereuse | gefährlich gefährlicher
    important more_important | important importante | wichtig wichtiger
    interesting more_interesting | intéressant intéressante | interessant interessanter
"""


def _plural(masculine: str) -> str:
    if masculine.endswith(("s", "x")):
        return masculine
    return masculine + ("x" if masculine.endswith("eau") else "s")


def _adjective(line: str, before: bool) -> Adjective:
    english, french, german = (part.split() for part in line.split("|"))
    word, _, human = english[0].partition("/")
    masculine, feminine = french[0], french[1]
    vowel = french[2] if len(french) > 2 else masculine
    stem = {"teuer": "teur", "müde": "müd"}.get(german[0], german[0])
    forms = (masculine, vowel, feminine, _plural(masculine), feminine + "s")
    return Adjective(word, human or word, forms, before, german[0], stem, english[1].replace("_", " "), german[1])


ADJECTIVES: dict[str, Adjective] = {
    adjective.en: adjective
    for lines, before in ((_BEFORE, True), (_AFTER, False))
    for adjective in (_adjective(line, before) for line in lines.strip().splitlines())
}
COLOURS = ["red", "green", "black", "white", "blue", "yellow", "grey"]
_COLOUR = " ".join(COLOURS)
_AGES = "old young"
_HUMAN = f"{_AGES} rich poor clever kind sad happy tired sick famous"
ATTRIBUTES: dict[str, str] = {
    "person": f"{_AGES} rich poor clever kind sad happy tired sick famous",
    "kin": "",
    "animal": f"big small old young black white grey fast slow strong beautiful {_AGES}",
    "wild": "big small old young fast slow strong beautiful dangerous",
    "tool": f"small big old new beautiful expensive clean dirty {_COLOUR}",
    "machine": f"old new expensive heavy {_COLOUR} small",
    "holder": f"big small old new heavy empty {_COLOUR}",
    "furniture": f"big small old new beautiful expensive heavy clean dirty {_COLOUR}",
    "opening": f"big small old new clean dirty {_COLOUR}",
    "vehicle": f"big small old new beautiful expensive clean dirty fast slow {_COLOUR}",
    "building": "big small old new beautiful",
    "garment": f"beautiful old new expensive clean dirty {_COLOUR}",
    "pair": f"beautiful old new expensive clean dirty {_COLOUR}",
    "food": "big small good expensive",
    "dish": "good expensive hot cold",
    "drink": "good expensive hot cold",
    "letter": "important beautiful old interesting",
    "text": "important old new interesting",
    "song": "beautiful old new sad famous good",
    "transport": "old new slow fast",
    "event": "good interesting important new",
    "shop": "new old big small famous beautiful",
}
"""Adjectives that go before a noun of each class."""
PREDICATES: dict[str, str] = {
    **ATTRIBUTES,
    "person": f"big {_HUMAN} strong important",
    "kin": f"big {_HUMAN} strong important",
    "building": "big small old new beautiful empty",
    "dish": "good expensive hot cold",
    "drink": "good expensive hot cold",
}
"""Adjectives that follow "is" for each class of subjects; for "I", "you", "we" only those of `EITHER`."""
EITHER = "sad sick rich poor famous young"
"""Adjectives of people that French says alike of men and women."""
PASSING = "sad sick tired happy dirty clean empty hot cold"
"""What one can be for a day."""
UNCOMPARED = f"{_COLOUR} new sick tired empty good clean dirty hot cold"

# ---- verbs ----------------------------------------------------------------------------------------------------------


def _french(text: str, *, etre: bool, reflexive: bool, preposition: str) -> French:
    infinitive, *forms = text.split()
    if not forms:
        assert infinitive.endswith("er"), text
        stem = infinitive[:-2]
        soft = {"g": stem + "e", "c": stem[:-1] + "ç"}.get(stem[-1], stem)
        forms = [f"{stem}e", f"{stem}es", f"{stem}e", f"{soft}ons", f"{stem}ent", f"{stem}é"]
    future = forms[6] if len(forms) > 6 else infinitive.removesuffix("e")
    return French(infinitive, tuple(forms[:5]), forms[5], future, etre or reflexive, reflexive, preposition)


def _german(text: str, *, sein: bool, frame: Frame, imperative: str) -> German:
    whole, *forms = text.split()
    particle, _, infinitive = whole.rpartition("+")
    particle = particle.replace("_", " ")
    if not forms:
        stem = infinitive.removesuffix("en")
        e = "e" if stem[-1] in "td" else ""
        joined = particle + ("" if " " not in particle and particle else " " if particle else "")
        du = f"{stem}t" if stem[-1] in "zsß" else f"{stem}{e}st"
        forms = [f"{stem}e", du, f"{stem}{e}t", f"{joined}ge{stem}{e}t"]
    present = (*forms[:3], infinitive, infinitive)
    spoken = imperative or forms[0].removesuffix("e")
    return German(infinitive, present, forms[3].replace("_", " "), sein, particle, frame, spoken)


def _verb(
    en: str,
    fr: str,
    de: str,
    takes: str = "",
    *,
    fr_preposition: str = "",
    frame: Frame = "acc",
    etre: bool = False,
    reflexive: bool = False,
    sein: bool = False,
    imperative: str = "",
    has_past: bool = True,
) -> Verb:
    base, third, past = (form.replace("_", " ") for form in en.split())
    french = _french(fr, etre=etre, reflexive=reflexive, preposition=fr_preposition)
    german = _german(de, sein=sein, frame=frame, imperative=imperative)
    return Verb((base, third, past), french, german, tuple(takes.split()), has_past)


BE = _verb("be is was", "être suis es est sommes sont été ser", "sein bin bist ist gewesen", sein=True)
HAVE = _verb(
    "have has had",
    "avoir ai as a avons ont eu aur",
    "haben habe hast hat gehabt",
    "animal tool machine holder furniture vehicle garment food dish drink",
)
TAKE_THINGS = "tool machine holder furniture vehicle garment"

TRANSITIVE: tuple[Verb, ...] = (
    _verb(
        "see sees saw",
        "voir vois vois voit voyons voient vu verr",
        "sehen sehe siehst sieht gesehen",
        "person animal wild vehicle building",
    ),
    _verb("look_for looks_for looked_for", "chercher", "suchen", "person animal tool holder garment pair"),
    _verb("find finds found", "trouver", "finden finde findest findet gefunden", "tool holder garment animal"),
    _verb(
        "buy buys bought",
        "acheter achète achètes achète achetons achètent acheté achèter",
        "kaufen",
        "tool machine holder furniture vehicle garment pair food dish drink text",
    ),
    _verb(
        "sell sells sold",
        "vendre vends vends vend vendons vendent vendu",
        "verkaufen verkaufe verkaufst verkauft verkauft",
        "tool machine furniture vehicle garment pair food dish animal",
    ),
    _verb("eat eats ate", "manger", "essen esse isst isst gegessen", "food dish", imperative="iss"),
    _verb(
        "drink drinks drank",
        "boire bois bois boit buvons boivent bu",
        "trinken trinke trinkst trinkt getrunken",
        "drink",
    ),
    _verb("wear wears wore", "porter", "tragen trage trägst trägt getragen", "garment pair"),
    _verb("carry carries carried", "porter", "tragen trage trägst trägt getragen", "holder furniture"),
    _verb("wash washes washed", "laver", "waschen wasche wäschst wäscht gewaschen", "garment pair vehicle"),
    _verb(
        "clean cleans cleaned",
        "nettoyer nettoie nettoies nettoie nettoyons nettoient nettoyé nettoier",
        "putzen",
        "furniture opening",
    ),
    _verb(
        "open opens opened",
        "ouvrir ouvre ouvres ouvre ouvrons ouvrent ouvert",
        "auf+machen",
        "opening holder",
    ),
    _verb("close closes closed", "fermer", "zu+machen", "opening holder"),
    _verb(
        "repair repairs repaired", "réparer", "reparieren repariere reparierst repariert repariert", "machine vehicle"
    ),
    _verb(
        "lose loses lost",
        "perdre perds perds perd perdons perdent perdu",
        "verlieren verliere verlierst verliert verloren",
        "tool holder garment",
    ),
    _verb(
        "forget forgets forgot",
        "oublier",
        "vergessen vergesse vergisst vergisst vergessen",
        "tool holder garment text",
        imperative="vergiss",
    ),
    _verb(
        "bring brings brought",
        "apporter",
        "mit+bringen bringe bringst bringt mitgebracht",
        "tool food dish drink",
    ),
    _verb(
        "write writes wrote",
        "écrire écris écris écrit écrivons écrivent écrit",
        "schreiben schreibe schreibst schreibt geschrieben",
        "letter",
    ),
    _verb(
        "read reads read",
        "lire lis lis lit lisons lisent lu",
        "lesen lese liest liest gelesen",
        "text",
        imperative="lies",
        has_past=False,
    ),
    _verb("sing sings sang", "chanter", "singen singe singst singt gesungen", "song"),
    _verb(
        "help helps helped", "aider", "helfen helfe hilfst hilft geholfen", "person kin", frame="dat", imperative="hilf"
    ),
    _verb("thank thanks thanked", "remercier", "danken", "person kin", frame="dat"),
    _verb(
        "wait_for waits_for waited_for",
        "attendre attends attends attend attendons attendent attendu",
        "warten",
        "person kin transport",
        frame="auf",
        imperative="warte",
    ),
    _verb(
        "call calls called",
        "appeler appelle appelles appelle appelons appellent appelé appeller",
        "an+rufen rufe rufst ruft angerufen",
        "person kin",
    ),
    _verb(
        "visit visits visited",
        "rendre_visite rends_visite rends_visite rend_visite rendons_visite rendent_visite rendu_visite rendr",
        "besuchen besuche besuchst besucht besucht",
        "kin",
        fr_preposition="à",
    ),
    _verb("meet meets met", "rencontrer", "treffen treffe triffst trifft getroffen", "person kin", imperative="triff"),
    _verb("invite invites invited", "inviter", "ein+laden lade lädst lädt eingeladen", "person kin", imperative="lade"),
    _verb("listen_to listens_to listened_to", "écouter", "zu+hören", "person kin", frame="dat"),
)
KNOW = _verb(
    "know knows knew",
    "connaître connais connais connaît connaissons connaissent connu connaîtr",
    "kennen kenne kennst kennt gekannt",
    "person kin",
)
LIKE = _verb("like likes liked", "aimer", "mögen mag magst mag gemocht", "food dish drink animal")
COST = _verb("cost costs cost", "coûter", "kosten", has_past=False)
GIVING: tuple[Verb, ...] = (
    _verb(
        "give gives gave", "donner", "geben gebe gibst gibt gegeben", "tool food garment drink dish", imperative="gib"
    ),
    _verb("show shows showed", "montrer", "zeigen", "tool garment vehicle animal text", imperative="zeig"),
    _verb(
        "send sends sent",
        "envoyer envoie envoies envoie envoyons envoient envoyé enverr",
        "schicken",
        "letter tool",
        imperative="schick",
    ),
)
ACTING: tuple[Verb, ...] = (
    _verb(
        "sleep sleeps slept",
        "dormir dors dors dort dormons dorment dormi",
        "schlafen schlafe schläfst schläft geschlafen",
    ),
    _verb("work works worked", "travailler", "arbeiten"),
    _verb("dance dances danced", "danser", "tanzen"),
    _verb("sing sings sang", "chanter", "singen singe singst singt gesungen"),
    _verb("cry cries cried", "pleurer", "weinen"),
    _verb("laugh laughs laughed", "rire ris ris rit rions rient ri", "lachen"),
    _verb("play plays played", "jouer", "spielen"),
    _verb("eat eats ate", "manger", "essen esse isst isst gegessen"),
    _verb("wait waits waited", "attendre attends attends attend attendons attendent attendu", "warten"),
)
ANIMAL_ACTING: tuple[Verb, ...] = (ACTING[0], ACTING[6], ACTING[7])
STAY = _verb("stay stays stayed", "rester", "bleiben bleibe bleibst bleibt geblieben", etre=True, sein=True)
GO = _verb(
    "go goes went", "aller vais vas va allons vont allé ir", "gehen gehe gehst geht gegangen", etre=True, sein=True
)
TRAVEL = _verb(
    "go goes went", "aller vais vas va allons vont allé ir", "fahren fahre fährst fährt gefahren", etre=True, sein=True
)
ARRIVE = _verb("arrive arrives arrived", "arriver", "an+kommen komme kommst kommt angekommen", etre=True, sein=True)
LEAVE = _verb(
    "leave leaves left",
    "partir pars pars part partons partent parti",
    "ab+fahren fahre fährst fährt abgefahren",
    etre=True,
    sein=True,
)
FLY_OFF = _verb(
    "leave leaves left",
    "partir pars pars part partons partent parti",
    "ab+fliegen fliege fliegst fliegt abgeflogen",
    etre=True,
    sein=True,
)
COMING: tuple[Verb, ...] = (
    _verb(
        "come_home comes_home came_home",
        "rentrer",
        "nach_Hause+kommen komme kommst kommt nach_Hause_gekommen",
        etre=True,
        sein=True,
    ),
    _verb(
        "come_back comes_back came_back",
        "revenir reviens reviens revient revenons reviennent revenu reviendr",
        "zurück+kommen komme kommst kommt zurückgekommen",
        etre=True,
        sein=True,
    ),
    _verb(
        "get_up gets_up got_up",
        "lever lève lèves lève levons lèvent levé lèver",
        "auf+stehen stehe stehst steht aufgestanden",
        reflexive=True,
        sein=True,
    ),
    _verb(
        "go_to_bed goes_to_bed went_to_bed",
        "coucher",
        "ins_Bett+gehen gehe gehst geht ins_Bett_gegangen",
        reflexive=True,
        sein=True,
    ),
)
BEGIN = _verb("begin begins began", "commencer", "beginnen beginne beginnst beginnt begonnen")
END = _verb("end ends ended", "terminer", "enden", reflexive=True)
OPENS = _verb(
    "open opens opened", "ouvrir ouvre ouvres ouvre ouvrons ouvrent ouvert", "öffnen öffne öffnest öffnet geöffnet"
)
CLOSES = _verb("close closes closed", "fermer", "schließen schließe schließt schließt geschlossen")

_IDIOM_LINES = """
    be | hungry | avoir | faim | Hunger | keinen Hunger
    be | thirsty | avoir | soif | Durst | keinen Durst
    be | afraid | avoir | peur | Angst | keine Angst
    be | lucky | avoir | de la chance | Glück | kein Glück
    have | time | avoir | le temps | Zeit | keine Zeit
    have | a headache | avoir | mal à la tête | Kopfschmerzen | keine Kopfschmerzen
"""


def _idiom(line: str) -> Idiom:
    en_verb, en, _, fr, de, de_not = (part.strip() for part in line.split("|"))
    english = {"be": BE, "have": HAVE}[en_verb]
    return Idiom(Verb(english.en, HAVE.fr, HAVE.de, ()), en, fr, de, de_not)


IDIOMS: tuple[Idiom, ...] = tuple(_idiom(line) for line in _IDIOM_LINES.strip().splitlines())

# ---- places: where, where to ----------------------------------------------------------------------------------------


def _fixed(lines: str) -> tuple[Fixed, ...]:
    return tuple(Fixed(*(part.strip() for part in line.split("|"))) for line in lines.strip().splitlines())


PLACES: tuple[Fixed, ...] = _fixed("""
    at school | à l'école | in der Schule
    at the market | au marché | auf dem Markt
    at the station | à la gare | am Bahnhof
    at the hospital | à l'hôpital | im Krankenhaus
    in the park | dans le parc | im Park
    at the cinema | au cinéma | im Kino
    at the restaurant | au restaurant | im Restaurant
    at the office | au bureau | im Büro
    in the kitchen | dans la cuisine | in der Küche
    in the garden | dans le jardin | im Garten
    in the village | au village | im Dorf
    at the beach | à la plage | am Strand
    at the museum | au musée | im Museum
    at the library | à la bibliothèque | in der Bibliothek
    at the bakery | à la boulangerie | in der Bäckerei
    at the supermarket | au supermarché | im Supermarkt
    at the airport | à l'aéroport | am Flughafen
    at the hotel | à l'hôtel | im Hotel
    in the forest | dans la forêt | im Wald
    at the theatre | au théâtre | im Theater
""")
GOALS: tuple[Fixed, ...] = _fixed("""
    to school | à l'école | in die Schule
    to the market | au marché | auf den Markt
    to the station | à la gare | zum Bahnhof
    to the hospital | à l'hôpital | ins Krankenhaus
    to the park | au parc | in den Park
    to the cinema | au cinéma | ins Kino
    to the restaurant | au restaurant | ins Restaurant
    to the office | au bureau | ins Büro
    into the kitchen | dans la cuisine | in die Küche
    into the garden | dans le jardin | in den Garten
    to the beach | à la plage | an den Strand
    to the museum | au musée | ins Museum
    to the library | à la bibliothèque | in die Bibliothek
    to the bakery | à la boulangerie | zur Bäckerei
    to the supermarket | au supermarché | in den Supermarkt
    to the airport | à l'aéroport | zum Flughafen
    to the hotel | à l'hôtel | ins Hotel
    into the forest | dans la forêt | in den Wald
    to the theatre | au théâtre | ins Theater
""")
HOME = Fixed("at home", "à la maison", "zu Hause")
_CITY_LINES = "Paris Paris Paris, Berlin Berlin Berlin, London Londres London, Rome Rome Rom, Vienna Vienne Wien, \
    Madrid Madrid Madrid, Lisbon Lisbonne Lissabon, Geneva Genève Genf, Moscow Moscou Moskau, Hamburg Hambourg Hamburg"
CITIES: tuple[Fixed, ...] = tuple(Fixed(*city.split()) for city in _CITY_LINES.split(","))
RELATIONS: dict[str, Fixed] = {
    relation.en: relation
    for relation in _fixed("""
        on | sur | auf
        under | sous | unter
        in | dans | in
        behind | derrière | hinter
        in front of | devant | vor
        next to | à côté de | neben
    """)
}

# ---- times ----------------------------------------------------------------------------------------------------------

DAYS = _fixed("""
    Monday | lundi | Montag
    Tuesday | mardi | Dienstag
    Wednesday | mercredi | Mittwoch
    Thursday | jeudi | Donnerstag
    Friday | vendredi | Freitag
    Saturday | samedi | Samstag
    Sunday | dimanche | Sonntag
""")
DAY_NAMES = tuple(day.en for day in DAYS)
ON_DAYS = tuple(Fixed(f"on {day.en}", day.fr, f"am {day.de}") for day in DAYS)
TIMES: dict[str, tuple[Fixed, ...]] = {
    "present": (
        *_fixed("""
            every day | chaque jour | jeden Tag
            every morning | chaque matin | jeden Morgen
            every evening | chaque soir | jeden Abend
            every week | chaque semaine | jede Woche
        """),
        *(Fixed(f"every {day.en}", f"chaque {day.fr}", f"jeden {day.de}") for day in DAYS),
    ),
    "past": (
        *_fixed("""
            yesterday | hier | gestern
            yesterday evening | hier soir | gestern Abend
            this morning | ce matin | heute Morgen
            last week | la semaine dernière | letzte Woche
            last month | le mois dernier | letzten Monat
            last year | l'année dernière | letztes Jahr
        """),
        *ON_DAYS,
    ),
    "future": (
        *_fixed("""
            tomorrow | demain | morgen
            tomorrow evening | demain soir | morgen Abend
            this evening | ce soir | heute Abend
            next week | la semaine prochaine | nächste Woche
            next month | le mois prochain | nächsten Monat
            next year | l'année prochaine | nächstes Jahr
        """),
        *ON_DAYS,
    ),
}
AGO: tuple[tuple[Fixed, Fixed], ...] = tuple(
    zip(
        _fixed("""
            {} days ago | il y a {} jours | vor {} Tagen
            {} weeks ago | il y a {} semaines | vor {} Wochen
            {} months ago | il y a {} mois | vor {} Monaten
            {} years ago | il y a {} ans | vor {} Jahren
        """),
        _fixed("""
            in {} days | dans {} jours | in {} Tagen
            in {} weeks | dans {} semaines | in {} Wochen
            in {} months | dans {} mois | in {} Monaten
            in {} years | dans {} ans | in {} Jahren
        """),
        strict=True,
    )
)
"""So many days, weeks, months, years ago; in so many."""
TODAY = _fixed("""
    today | aujourd'hui | heute
    now | maintenant | jetzt
""")
EXACT = ("every day", "every morning", "every evening", "yesterday", "this morning", "tomorrow", "this evening")
"""Times that a time of day can follow; days of the week too."""
IT = Pronoun("it", "3s", "m")
_COLD = _verb("be is was", "faire fais fais fait faisons font fait fer", "sein bin bist ist gewesen", sein=True)
RAINING: tuple[Verb, ...] = (
    _verb(
        "rain rains rained",
        "pleuvoir pleus pleus pleut pleuvons pleuvent plu pleuvr",
        "regnen regne regnest regnet geregnet",
    ),
    _verb("snow snows snowed", "neiger", "schneien"),
)
BEING_WEATHER: tuple[Idiom, ...] = (
    Idiom(_COLD, "cold", "froid", "kalt", "nicht kalt"),
    Idiom(_COLD, "hot", "chaud", "heiß", "nicht heiß"),
    Idiom(_COLD, "sunny", "du soleil", "sonnig", "nicht sonnig"),
)
PROGRESSIVE = {"rain": "raining", "snow": "snowing"}
KNOW_THAT = _verb("know knows knew", "savoir sais sais sait savons savent su saur", "wissen weiß weißt weiß gewusst")
THINK = _verb("think thinks thought", "penser", "denken denke denkst denkt gedacht")
SAY = _verb("say says said", "dire dis dis dit disons disent dit", "sagen")
HOPE = _verb("hope hopes hoped", "espérer espère espères espère espérons espèrent espéré espérer", "hoffen")

COUNTING = tuple(verb for verb in TRANSITIVE if verb.en[0] in ("see", "buy", "sell", "find", "eat", "bring", "write"))
WHAT = tuple(verb for verb in TRANSITIVE if verb.en[0] in ("buy", "sell", "eat", "drink", "look for", "find", "bring"))
ASKED_FOR = (
    *(verb for verb in TRANSITIVE if verb.en[0] in ("buy", "open", "close", "wash", "clean", "bring", "call", "help")),
    *GIVING,
)
STATION, AIRPORT = PLACES[2], PLACES[16]
AGED = _verb("be is was", "avoir ai as a avons ont eu aur", "sein bin bist ist gewesen", sein=True)
