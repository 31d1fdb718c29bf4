"""A travel desk: what customers dream of, what went wrong, and how they go."""

from task_suites.embedded.generator import Family, Lexicon, choose, classify, extract, phrases

LEXICON: Lexicon = {
    "client": phrases(
        """{Adele|Benedict|Camille|Damian|Elvira|Fergus|Howard} {Abney|Burrows|Calder|Denholm|Fairfax|Gould}
        the {Ainsworths|Bretons|Carusos} / two {sisters|students|pensioners|newly-weds}
        a {family of five|bowling club|choir}"""
    ),
    "single": phrases(
        """{Adele|Benedict|Camille|Damian|Elvira|Fergus|Giselle} {Abney|Burrows|Calder|Denholm|Everett|Hyde}"""
    ),
    "agent": phrases(
        "{Jasmine|Kenneth|Ludmila|Matteo|Noemi} at the travel desk / our {agent|consultant|trainee|colleague}"
    ),
    "month": phrases(
        "in {January|April|June|July|September|October} / at {Whitsun|half-term} / next {autumn|spring}"
        " / for ten nights"
    ),
    "dream": {
        "sea": phrases(
            """{soft sand|palm trees} and warm waves / a {blue|quiet} lagoon / a hammock above the surf
            shells and sandcastles
            a {cottage|bungalow} right on the beach / a deckchair by turquoise water / diving among coral
            tides, dunes and salty air / paddling with the toddlers / a bay for surfing / a sunlounger and a cocktail
            a lonely island with coconuts"""
        ),
        "peaks": phrases(
            """{glaciers|summits} and clear air / a hut above the tree line / steep trails and marmots
            a cable car to the ridge
            a {chalet|lodge} beside the ski lift / climbing with rope and pickaxe / gorges, waterfalls and edelweiss
            hiking from pass to pass / a sledge run and cheese fondue / views from four thousand metres
            Alpine pastures with cowbells / a sherpa and a rucksack"""
        ),
        "town": phrases(
            """{theatres|galleries} and crowded cafes / a skyline by night / underground trains and department stores
            a {penthouse|hotel} close to the opera / flea markets and rooftop bars
            cathedrals, squares and street music
            nightclubs until five / museums, shops and trams / a marathon through skyscrapers / designer boutiques
            Chinatown and jazz cellars / a stroll along the boulevards"""
        ),
        "wild": phrases(
            """{lions|giraffes} at the waterhole / a tent in the jungle / a jeep across the savannah
            camels and endless dunes
            a {ranger|tracker} who knows the elephants / a canoe among hippos / monkeys, orchids and parrots
            grizzly bears fishing for salmon / a safari at sunrise / a rainforest walk with torches
            a night beside a crocodile swamp / gorillas in the mist"""
        ),
    },
    "woe": {
        "bed": phrases(
            """the {mattress|pillow} was as hard as a board / there were cockroaches in the shower
            our suite had no window
            the {lobby|balcony} was a building site / the sheets had not been changed
            the air conditioning roared all night
            they had given our room away / towels were grey and damp / the minibar was locked
            the reception desk was never staffed / the walls were so thin that we heard snoring"""
        ),
        "flight": phrases(
            """the plane left nine hours late / our suitcases ended up in Manila / the gate was changed without notice
            the {pilot|cabin crew} was on strike / the seat belt was broken / turbulence spilled our drinks
            we missed the connection at the airport / the runway was closed / check-in took three hours
            the airline had overbooked / our boarding passes bore the wrong names"""
        ),
        "meal": phrases(
            """the buffet was {cold|empty} by eight / we got food poisoning from the shrimps
            breakfast was a dry roll
            the {waiter|chef} ignored our allergy / the wine tasted of cork / all meals were drenched in oil
            half board meant soup and nothing else / there was a hair in the pasta / vegetarians were given chips
            the coffee was undrinkable / dinner was served at midnight"""
        ),
        "money": phrases(
            """we were charged twice / the invoice shows hidden extras / the refund has not arrived
            the deposit has vanished
            the {resort fee|city tax} was never mentioned / my credit card was debited too early
            the discount was not applied
            the exchange rate was a swindle / the price went up after booking / the voucher was refused
            they want a surcharge for the cot"""
        ),
    },
    "ride": {
        "air": phrases(
            "charter plane / seaplane / hot-air balloon / helicopter / jet / glider / airship / propeller plane"
        ),
        "water": phrases("cruise liner / houseboat / gondola / ferry / catamaran / paddle steamer / raft / hovercraft"),
        "wheels": phrases("camper van / coach / hire car / motorbike / tandem / minibus / rickshaw / stagecoach"),
        "legs": phrases("camel / mule train / dog sled / elephant / pony / horse-drawn sleigh / donkey / yak caravan"),
    },
    "place": phrases(
        """Zanzibar / Patagonia / Lapland / Madeira / Bhutan / Havana / Corfu / Ladakh / Tasmania / Marrakesh
        Bali / Samarkand
        the {Azores|Faroes|Seychelles} / Montevideo / Goa / Petra"""
    ),
    "firm": phrases("{Globe|Sunray|Compass|Nomad|Horizon|Swallow} {Tours|Travel|Holidays|Voyages}"),
    "pair": {
        "go": phrases(
            """[E1] {single} [/E1] {flew to|spent a fortnight in|explored|toured|is off to} [E2] {place} [/E2]
            [E2] {place} [/E2] was the dream destination of [E1] {single} [/E1]
            [E1] {single} [/E1] has come back from [E2] {place} [/E2] with a tan
            [E1] {single} [/E1] is on holiday in [E2] {place} [/E2]"""
        ),
        "born": phrases(
            """[E1] {single} [/E1] {was born in|grew up in|is a native of|went to kindergarten in} [E2] {place} [/E2]
            [E2] {place} [/E2] is the birthplace of [E1] {single} [/E1]
            [E1] {single} [/E1] spent a whole childhood in [E2] {place} [/E2]
            the cradle of [E1] {single} [/E1] stood in [E2] {place} [/E2]"""
        ),
        "job": phrases(
            """[E1] {single} [/E1] {works for|is employed by|answers the phone at} [E2] {firm} [/E2]
            [E2] {firm} [/E2] has {hired|promoted} [E1] {single} [/E1] as a guide
            [E1] {single} [/E1] earns a salary at [E2] {firm} [/E2]
            [E1] {single} [/E1] is a clerk with [E2] {firm} [/E2]"""
        ),
        "complain": phrases(
            """[E1] {single} [/E1] {demands a refund from|wrote an angry review of|feels cheated by} [E2] {firm} [/E2]
            [E2] {firm} [/E2] received a furious letter from [E1] {single} [/E1]
            [E1] {single} [/E1] will never book with [E2] {firm} [/E2] again
            [E1] {single} [/E1] is a disgruntled customer of [E2] {firm} [/E2]"""
        ),
    },
    "extra": phrases(
        "a window seat / travel insurance / a guidebook / twin beds / an early start / a visa / late check-out"
    ),
}

DREAMS = """{single} dreams of {dream} {month}.
    {month}, {client} would love {dream}.
    the wish list of {client} has two entries: {dream} and {extra}.
    {client} told {agent}: "{dream}, please!"
    for {single} nothing beats {dream}.
    "all I want is {dream}," {single} sighed.
    {agent} suggested {dream} to {client} {month}.
    {dream}: that is what {client} booked {month}.
    a brochure promising {dream} won over {client}."""

WOES = """{client} came home unhappy from {place}: {woe}.
    "in {place} {woe}," {single} complained.
    {single} has sent {firm} a letter: "{woe}."
    {firm} must answer {client}, because {woe}.
    {place} was lovely, but {woe}, says {single}.
    comment about {firm}: {woe}.
    {agent} listened to {client}. "{woe}," it began.
    {woe}, although {client} had paid for {extra}.
    how was {place}? Well, {woe}."""

RIDES = """{client} crossed {place} by {ride}.
    {month}, {single} will travel through {place} by {ride}.
    the brochure of {firm} shows a {ride} in {place}.
    in {place}, {client} hired a {ride}.
    {agent} can book a {ride} and {extra} for {client}.
    no {ride} was to be had in {place}, {single} found.
    the tour of {place} by {ride} starts {month}.
    {single} is afraid of going by {ride} but wants to see {place}.
    "a {ride}? In {place}? With pleasure!" said {single}."""

PAIRS = """small world: {pair}.
    {agent} mentioned that {pair}.
    {pair}, if the file is correct.
    {firm} is closed today, and {pair}.
    {extra} apart, all we know is that {pair}.
    a postcard on the wall proves that {pair}.
    for the record, {pair}.
    {pair}; the rest is gossip.
    at the coffee machine one hears that {pair}."""

PACK = [
    ("is going to {dive|snorkel} off a coral reef / has booked a week of surfing", "swimming goggles / a wetsuit"),
    (
        "will sleep in a tent in the forest / is off to a campsite without huts",
        "a sleeping bag / tent pegs and a torch",
    ),
    ("is going to ski in the Alps / has a ticket for the slopes", "goggles and ski boots / thermal gloves"),
    ("has been invited to a gala at the opera / will attend a ball in Vienna", "an evening suit / a silk dress"),
    (
        "will walk across a hot desert / is to ride through the Sahara",
        "a sun hat and plenty of water / a scarf against sand",
    ),
    ("suffers badly from seasickness / always feels queasy on boats", "pills against nausea / ginger drops"),
    (
        "will be photographing {birds|lions} / hopes to film whales",
        "a camera with a long lens / spare film and a tripod",
    ),
    ("does not speak a word of the language / cannot read the signs there", "a phrase book / a pocket dictionary"),
]

TRIPS = """{single} has cancelled {place} and now wants to see <X:{place}>.
    not {place} but <X:{place}> is where {client} will go {month}.
    {client} changed planes in {place} on the way to <X:{place}>.
    {firm} sent {client} to <X:{place}> {month}.
    {month}, {single} will leave {place} for <X:{place}>.
    the suitcase was sent to {place}, while {single} flew to <X:{place}>.
    {agent} has found {client} a cheap flight from {place} to <X:{place}>.
    having seen {place} already, {client} chose <X:{place}>.
    {single} would rather travel to <X:{place}> than to {place}."""

FAMILY = Family(
    "travel",
    "meta_test",
    "travel desk",
    LEXICON,
    (
        classify(
            "dream",
            "dream",
            {"sea": "beach", "peaks": "mountains", "town": "city", "wild": "wildlife"},
            DREAMS,
            "Sort the wish into its group.",
            "seaside, mountains, city, wildlife",
        ),
        classify(
            "complaint",
            "woe",
            {"bed": "lodging", "flight": "flying", "meal": "catering", "money": "payment"},
            WOES,
            "What is the complaint about?",
            "lodging, flight, food, money",
        ),
        classify(
            "ride",
            "ride",
            {"air": "plane", "water": "boat", "wheels": "road", "legs": "animal"},
            RIDES,
            "What does the traveller go by?",
            "by air, by water, on wheels, with animals",
        ),
        classify(
            "pair",
            "pair",
            {"go": "holiday", "born": "origin", "job": "employer", "complain": "grievance"},
            PAIRS,
            "What connects the two marked names?",
            "destination, birthplace, employer, object of a complaint",
            type="relation",
        ),
        choose(
            "pack",
            PACK,
            """{single} {situation}. What belongs in the suitcase?
            {month}, {single} {situation}. What should be packed?
            {agent} hears that {single} {situation}. What will be needed?
            "{single} {situation}," says {agent}. What is missing on the list?
            what would you lend {single}, who {situation}?
            {single}, a customer of {firm}, {situation}. What is useful?
            {single} {situation} and asks for {extra}. What else?
            {firm} has a client who {situation}. What do they recommend?
            as {single} {situation}, what ought to come along?""",
            "Choose what the traveller needs.",
            "luggage that suits the trip",
            options=4,
        ),
        extract("goal", TRIPS, "Write down where the journey ends.", "the destination among two places"),
    ),
)
