"""The weather service: what the sky does, when, where, and what comes of it."""

from task_suites.embedded.generator import Family, Lexicon, choose, classify, phrases, tag

LEXICON: Lexicon = {
    "region": phrases(
        """the {Pennines|Ardennes|Hebrides|Alps|Fens|Dales|Carpathians}
        {Norfolk|Brittany|Galicia|Saxony|Umbria|Jutland|Wales}
        the {northern|southern|eastern|western} {lowlands|valleys|uplands}"""
    ),
    "sky": {
        "wet": phrases(
            """{drizzle|showers|downpours} will soak {region} / umbrellas are a must in {region}
            it is going to pour over {region}
            {puddles|rivulets} will form all across {region} / a wet front is crossing {region}
            heavy clouds will empty themselves over {region} / a cloudburst is on its way to {region}
            roofs and drains will be tested in {region} / expect steady rain in {region}"""
        ),
        "dry": phrases(
            """{sunshine|a clear sky} will greet {region} / not a cloud is in sight over {region}
            {region} will bask in bright light
            put on sun cream in {region} / {region} can look forward to glorious blue skies
            it will be ideal for drying washing in {region} / sunglasses will be needed in {region}
            a fine, cloudless spell is in store for {region} / a drought warning is out for {region}"""
        ),
        "blow": phrases(
            """{gales|strong gusts} will rattle {region} / hats will fly in {region}
            a stiff breeze is picking up over {region}
            branches may snap in {region} / tiles could be torn off roofs in {region}
            tents should be tied down in {region}
            kites will have a splendid day in {region} / squalls are racing towards {region}
            a hurricane is heading for {region}"""
        ),
        "cold": phrases(
            """{frost|sleet|snow} will cover {region} / roads will be icy in {region}
            {blizzards|flurries} are due in {region}
            thick gloves are advised in {region} / the thermometer falls below zero in {region}
            drifts may reach the windows in {region} / lakes are freezing over in {region}
            an arctic chill is gripping {region} / a sharp freeze is settling on {region}"""
        ),
    },
    "clock": {
        "dawn": phrases(
            """at {daybreak|sunrise|cockcrow} / {over|before} breakfast / as the first {commuters|bakers} set out
            when the dew is still wet
            at six in the morning / in the early hours of daylight / as the milk is delivered
            with the first cup of coffee"""
        ),
        "noon": phrases(
            """at midday / {over|around} lunch / when the sun stands highest / at {twelve o'clock|half past twelve}
            in the middle of the day / as the canteens fill up / when shadows are shortest / during the siesta"""
        ),
        "dusk": phrases(
            """at {sunset|twilight|nightfall} / {over|after} supper / as the street lamps come on
            towards eight in the evening
            when the children are put to bed / during the evening news / as the theatres open
            when the light fades"""
        ),
        "night": phrases(
            """at midnight / in the small hours / while everyone is asleep / under the stars
            between one and three at night
            as the owls hunt / when the last bar has shut / in complete darkness"""
        ),
    },
    "effect": {
        "roads": phrases(
            """{motorists|lorry drivers} are told to slow down / two lanes of the motorway have been closed
            buses run late
            a bridge is shut to cars / cyclists should stay at home / the ring road is one long jam
            a tunnel is impassable
            flights are cancelled / the mountain pass is blocked / taxis are hard to find"""
        ),
        "crops": phrases(
            """{wheat|barley} lies flat / vines are at risk / the picking of cherries is put off
            orchards lose their blossom
            the lettuce rots / market gardeners despair / the olive growers rejoice / seed potatoes may suffer
            tomatoes ripen early / the hop harvest is in danger"""
        ),
        "sport": phrases(
            """the cup final is abandoned / the marathon starts an hour later / the golf course is closed
            skiers are delighted
            the cricket ground is soaked / surfers flock to the beach / the tennis semi-final is interrupted
            the regatta has been moved / the climbing wall stays shut / anglers have the river to themselves"""
        ),
        "home": phrases(
            """many households are without electricity / cellars have to be pumped out / heating bills will go up
            people are told to close their shutters / tiles have come off many roofs / residents fill sandbags
            families sleep on the balcony / the elderly are told to drink plenty / chimneys have toppled
            water is rationed"""
        ),
    },
    "speaker": phrases(
        """forecaster {Lindqvist|Amari|Petrov|Blythe|Yoon} / the weather {service|bureau|desk}
        our man on the {hill|balloon}
        the {duty|chief|local} meteorologist / a spokeswoman for the observatory"""
    ),
    "tool": phrases("barometer / rain gauge / wind vane / radar / thermometer / weather balloon / hygrometer"),
    "place": phrases(
        """Fort William / Kiruna / Whitby / Zermatt / Galway / Bastia / Cape Wrath / Innsbruck / Reykjavik
        Tarifa / Brest / Ljubljana"""
    ),
    "point": phrases("north / south / east / west"),
    "sort": phrases(
        "fog / hail / thunder / drizzle / sleet / black ice / freezing rain / ground frost / haze / thick mist"
        " / heavy snow"
    ),
    "wind": {
        "N": phrases("a northerly / a wind out of the north / air from the North Pole / a breeze off the northern ice"),
        "S": phrases(
            "a southerly / a wind out of the south / warm air from the Sahara / a breeze up from the southern plains"
        ),
        "E": phrases(
            "an easterly / a wind out of the east / air from deepest Siberia / a breeze off the eastern steppe"
        ),
        "W": phrases(
            "a westerly / a wind out of the west / damp air from the Atlantic / a breeze off the western ocean"
        ),
    },
}

FORECAST = """{speaker} predicts: {sky}.
    forecast for tomorrow: {sky}.
    {sky}, going by the figures of {speaker}.
    after a glance at the {tool}, {speaker} announces: "{sky}."
    "{sky}," warns {speaker}.
    {clock}, the bulletin says: {sky}.
    bulletin number {five|eight|eleven}, read by {speaker}: {sky}.
    the outlook has changed, and now {sky}.
    the {tool} leaves no doubt: {sky}."""

TIMES = """{speaker} expects a change in {region} {clock}.
    {clock}, {speaker} climbed the tower and checked the {tool}.
    the readings from the {tool} in {region} changed wildly {clock}.
    the sky over {region} looked rather strange to everybody {clock}.
    {clock}, a rainbow or something like it was seen over {region}.
    {speaker} went on the air {clock} to talk about {region}.
    the reading from {region} was taken {clock}.
    it always gets calm in {region} {clock}, says {speaker}.
    {region}: new data will be published {clock}."""

EFFECTS = """owing to the weather, {effect} in {region}.
    in {region} {effect}, {speaker} reports.
    {speaker} speaks of a record in {region}: {effect}.
    news from {region}: {effect}.
    {effect} in {region}, and no change is in sight.
    the {tool} was right about {region}, where {effect}.
    because of the conditions {effect}, as {speaker} had foretold.
    {effect}. That is the price of the weather in {region}.
    this is what a freak season means for {region}: {effect}."""

MAPS = """<SORT:{sort}> is forecast for <SITE:{place}> and for <SITE:{place}>.
    {speaker} predicts <SORT:{sort}> near <SITE:{place}> {clock}.
    in <SITE:{place}> the {tool} gave no warning of the <SORT:{sort}>.
    <SORT:{sort}>, later <SORT:{sort}>, will trouble drivers around <SITE:{place}>.
    from <SITE:{place}> to <SITE:{place}> there will be <SORT:{sort}>.
    {clock}, <SORT:{sort}> held up the ferry to <SITE:{place}>.
    no <SORT:{sort}> this time, says {speaker} from <SITE:{place}>.
    <SITE:{place}> can expect <SORT:{sort}> {clock}.
    a mast near <SITE:{place}> was damaged, although there was only <SORT:{sort}>."""

GEAR = [
    (
        "{region} will see {showers|downpours} all day / it is pouring in {region}",
        "take an umbrella / wear rubber boots",
    ),
    (
        "{region} will be {baking|scorching} hot / the sun burns down on {region}",
        "bring a straw hat / rub in sun cream",
    ),
    (
        "deep snow is lying in {region} / {region} is under a white blanket",
        "put on skis / clear the path with a shovel",
    ),
    (
        "{a gale|a storm} is about to hit {region} / gusts are battering {region}",
        "tie down the tent / take in the parasol",
    ),
    (
        "thick fog hides {region} / one can hardly see ten steps ahead in {region}",
        "switch on the fog lamps / drive slowly",
    ),
    (
        "lightning flashes over {region} / thunder rolls across {region}",
        "keep away from lone trees / get off the open hilltop",
    ),
    (
        "the pavements of {region} are sheer ice / everyone is slipping in {region}",
        "scatter grit / walk with small steps",
    ),
    (
        "the river in {region} is over its banks / a flood is coming down on {region}",
        "move to the upper floor / fill sandbags",
    ),
]

WINDS = """{wind} is blowing across {region}.
    {speaker} expects {wind} over {region} {clock}.
    {wind} has reached {region}.
    the {tool} shows {wind} in {region}.
    {clock}, {wind} will cool {region}.
    in {region} {wind} made the windows rattle.
    {speaker} blames {wind} for the headaches in {region}.
    {wind} will keep {region} busy {clock}.
    thanks to {wind}, {region} will smell of dust."""

FAMILY = Family(
    "weather",
    "meta_validation",
    "weather service",
    LEXICON,
    (
        classify(
            "sky",
            "sky",
            {"wet": "rainy", "dry": "sunny", "blow": "windy", "cold": "wintry"},
            FORECAST,
            "What will the weather be like?",
            "rain, sunshine, wind, frost and snow",
        ),
        classify(
            "hour",
            "clock",
            {"dawn": "glim", "noon": "thork", "dusk": "jaspen", "night": "ulver"},
            TIMES,
            "Name the group that the sentence belongs to.",
            "morning, midday, evening, night",
        ),
        classify(
            "effect",
            "effect",
            {"roads": "transport", "crops": "farming", "sport": "leisure", "home": "housing"},
            EFFECTS,
            "Which part of life is affected?",
            "traffic, crops, sport or homes",
        ),
        tag("map", ("SORT", "SITE"), MAPS, "Mark the kinds of weather and the places.", "weather phenomena and places"),
        choose(
            "outfit",
            GEAR,
            """{situation}. What is wise?
            {situation}, says {speaker}. What would you advise?
            {clock}, {speaker} calls: "{situation}." What is called for?
            bulletin: {situation}. What ought a visitor to do?
            "{situation}," reads the screen beside the {tool}. And what then?
            the {tool} was right: {situation}. How should one react?
            {speaker} has bad news: {situation}. What will help?
            if {situation}, what is a good idea?
            {clock}, {situation}. What is the best plan?""",
            "Choose the reaction that suits the weather.",
            "the sensible reaction to the weather",
        ),
        classify(
            "wind",
            "wind",
            {"N": "north", "S": "south", "E": "east", "W": "west"},
            WINDS,
            "Write down where the wind comes from.",
            "the direction of the wind in one word",
            type="generation",
        ),
    ),
)
