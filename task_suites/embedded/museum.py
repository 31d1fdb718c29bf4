"""A museum: exhibits, visitors' books and provenance."""

from task_suites.embedded.generator import Family, Lexicon, classify, extract, phrases, tag

LEXICON: Lexicon = {
    "room": phrases("the {blue gallery|rotunda|vaulted hall|east wing|mezzanine|crypt|glass pavilion|annexe}"),
    "exhibit": {
        "picture": phrases(
            """a {watercolour|fresco|pastel} of a {lady|ruin|vase} / an oil portrait of a {bishop|banker}
            a charcoal sketch
            a landscape with {cypresses|windmills} / a still life with {lemons|oysters} / an etching / a woodcut
            an altarpiece on gilded panels / a canvas full of angry brushstrokes / a miniature on vellum"""
        ),
        "beast": phrases(
            """the skull of a {mammoth|cave bear} / a fossil {fern|trilobite} / a stuffed {dodo|polar bear}
            a whale's jawbone
            a tray of pinned butterflies / a dinosaur's footprint / an ostrich egg / a petrified log
            a shark's tooth / the skeleton of a giant sloth"""
        ),
        "weapon": phrases(
            """a {bronze|broken} {sword|dagger} / a suit of armour / a {musket|crossbow} / a dented helmet / a cannon
            a shield with a lion / a pair of duelling pistols / a cavalry lance / a battle axe
            a quiver of poisoned arrows"""
        ),
        "jewel": phrases(
            """a {silver|jade} {brooch|bracelet} / a {ruby|pearl} necklace / a royal tiara / a signet ring
            a crown of gold leaves
            an emerald pendant / a pair of amber earrings / a diamond hatpin / an enamelled locket
            a sceptre set with opals"""
        ),
        "craft": phrases(
            """a steam {engine|pump} / an early {telescope|telegraph|gramophone} / a wooden flying machine
            a pocket watch
            a penny-farthing / a mechanical loom / a brass microscope / a crank telephone / a printing press
            a model of a lift"""
        ),
    },
    "view": {
        "wow": phrases(
            """we were {spellbound|enchanted} / I could have stayed for hours / it took my breath away
            what a treasure
            it moved me to tears / worth every penny / the curators deserve a medal / we shall come again next month
            an unforgettable experience / simply marvellous"""
        ),
        "meh": phrases(
            """we were bored stiff / I saw nothing but dust and glass / what a waste of an afternoon
            it sent us to sleep
            my feet hurt and my mind was blank / never again / far too dear for so little
            the labels tell you nothing
            I left after ten minutes / a dreary heap of junk"""
        ),
        "idea": phrases(
            """more benches would help / why not open later on Thursdays? / you could offer tours for toddlers
            a map would be useful
            please dim the lamps a little / larger captions might be an idea / how about an audio guide in Polish?
            the cloakroom needs more hooks / try selling tickets online / one might add a ramp"""
        ),
    },
    "guest": phrases(
        """a {couple|tourist|schoolgirl|sculptor|colonel} from {Ghent|Osaka|Perth|Seville|Toronto}
        {Lady Maud|Sir Basil} Crane
        {Delia|Edwin|Flora|Gideon|Harriet} {Moss|Nye|Orr|Peake|Rudd} / a retired {tailor|miner|sailor}"""
    ),
    "keeper": phrases(
        "the {curator|attendant|restorer|guide|director|night watchman} / {Dr|Professor} {Lazlo|Ember|Thorne|Viola}"
    ),
    "maker": phrases("{Bellini|Corvo|Delacourt|Esterhazy|Fontana|Grau|Hallam|Jansen|Kovacs|Moretti}"),
    "patron": phrases("the {Duke|Countess|Bishop|Abbess|Baron} of {Arden|Lorne|Savoy|Trent|Ulm|Wells}"),
    "thing": phrases(
        "{Sleeping|Winged|Wounded|Dancing|Weeping|Bearded} {Lion|Nymph|Warrior|Angel|Shepherdess|Centaur}"
    ),
    "stuff": phrases(
        "bronze / marble / limestone / terracotta / ebony / alabaster / porcelain / oak / glass / silver / wax"
        " / granite"
    ),
    "origin": {
        "make": phrases(
            """[E1] {maker} [/E1] {carved|sculpted|modelled|signed} [E2] {thing} [/E2]
            [E2] {thing} [/E2] is a {late|minor|famous} work of [E1] {maker} [/E1]
            the chisel of [E1] {maker} [/E1] gave us [E2] {thing} [/E2]
            [E2] {thing} [/E2] left the workshop of [E1] {maker} [/E1] in 1780"""
        ),
        "pay": phrases(
            """[E1] {patron} [/E1] {commissioned|ordered|donated|bequeathed} [E2] {thing} [/E2]
            [E2] {thing} [/E2] was paid for by [E1] {patron} [/E1]
            it was the purse of [E1] {patron} [/E1] that made [E2] {thing} [/E2] possible
            [E2] {thing} [/E2] came to us as a present from [E1] {patron} [/E1]"""
        ),
        "show": phrases(
            """[E2] {thing} [/E2] {stands in|hangs in|can be seen in|has been moved to} [E1] {room} [/E1]
            [E1] {room} [/E1] {houses|is home to} [E2] {thing} [/E2]
            visitors to [E1] {room} [/E1] will find [E2] {thing} [/E2]"""
        ),
        "made": phrases(
            """[E2] {thing} [/E2] {is made of|consists of|was cut out of} [E1] {stuff} [/E1]
            the artist chose [E1] {stuff} [/E1] for [E2] {thing} [/E2]
            [E1] {stuff} [/E1] gives [E2] {thing} [/E2] its sheen
            a block of [E1] {stuff} [/E1] became [E2] {thing} [/E2]"""
        ),
    },
}

TOUR = """in {room} people queue up to see {exhibit}.
    {guest} took a photograph of {exhibit} in {room}.
    {keeper} has just dusted {exhibit} in {room}.
    "this is {exhibit}," says {keeper} in {room}.
    the catalogue lists {exhibit}, now on view in {room}.
    {exhibit} was found in the cellar and brought to {room}.
    a bequest of 1911 included {exhibit}.
    {guest} stopped in front of {exhibit} and nodded to {keeper}.
    somebody has lent {room} {exhibit} for the summer."""

GUESTBOOK = """entry by {guest}: "{view}."
    "{view}," noted {guest} after a walk through {room}.
    we saw {room} with {guest}. {view}.
    {guest} on {room}: "{view}."
    {keeper} reads what {guest} has written: "{view}."
    "{view}." Signed in the visitors' book by {guest}.
    today {guest} left this line: "{view}."
    after {room} came the cafe. {view}, thought {guest}.
    {guest} spoke frankly to {keeper}: "{view}." """

ORIGINS = """in the annals of the house we find that {origin}.
    {keeper} is sure that {origin}.
    a plaque informs us: {origin}.
    as {guest} learned on the tour, {origin}.
    {origin}, says the label.
    recent research suggests that {origin}.
    {keeper} told {guest} that {origin}.
    few people realise that {origin}.
    {origin}, and {guest} made a note of it."""

MATERIALS = """the {thing} by {maker} is made of <X:{stuff}>, not of {stuff}.
    {maker} cut the {thing} out of <X:{stuff}> for {patron}.
    beside a {stuff} chest in {room} stands the {thing}, a work in <X:{stuff}>.
    {keeper} polishes the {thing} with care, since <X:{stuff}> stains easily.
    {patron} sent <X:{stuff}> to {maker}, who turned it into the {thing}.
    what looks like {stuff} in {room} is in truth <X:{stuff}>, says {keeper}.
    the {thing} in {room} consists entirely of <X:{stuff}>.
    {guest} admired how {maker} had worked the <X:{stuff}> of the {thing}.
    {maker} had meant to use {stuff} but took <X:{stuff}> for the {thing}."""

MARKS = """in {room}, <WHO:{maker}> is represented by the <OPUS:{thing}>.
    <WHO:{maker}> made the <OPUS:{thing}> for <WHO:{patron}>.
    <WHO:{patron}> gave the <OPUS:{thing}> to the museum, and it stands in {room}.
    {guest} asked whether the <OPUS:{thing}> is by <WHO:{maker}> or by <WHO:{maker}>.
    the <OPUS:{thing}> and the <OPUS:{thing}> are both by <WHO:{maker}>.
    critics compare <WHO:{maker}> with <WHO:{maker}> because of the <OPUS:{thing}>.
    next to a stuffed owl stands the <OPUS:{thing}>, once in the hands of <WHO:{patron}>.
    without the money of <WHO:{patron}> there would be no <OPUS:{thing}>.
    the <OPUS:{thing}> was stolen from {room}, but <WHO:{patron}> bought it back."""

FAMILY = Family(
    "museum",
    "meta_validation",
    "museum",
    LEXICON,
    (
        classify(
            "exhibit",
            "exhibit",
            {"picture": "walrus", "beast": "ribbon", "weapon": "sugar", "jewel": "pillow", "craft": "cedar"},
            TOUR,
            "Give the exhibit its code word.",
            "pictures, natural history, arms, jewellery, technology",
        ),
        classify(
            "guestbook",
            "view",
            {"wow": "thrilled", "meh": "disappointed", "idea": "suggestion"},
            GUESTBOOK,
            "What does the visitor express?",
            "praise, disappointment, a proposal",
        ),
        classify(
            "origin",
            "origin",
            {"make": "artist", "pay": "sponsor", "show": "place", "made": "material"},
            ORIGINS,
            "What is the first marked thing to the marked work of art?",
            "maker, donor, location or material of a work",
            type="relation",
        ),
        tag("credits", ("WHO", "OPUS"), MARKS, "Mark the persons and the works of art.", "artists, patrons and works"),
        extract("material", MATERIALS, "Write down the material of the work.", "what a work of art is made of"),
    ),
)
