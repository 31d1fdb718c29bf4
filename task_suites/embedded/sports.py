"""A sports club: matches, members and what the trainer says."""

from task_suites.embedded.generator import Family, Lexicon, choose, classify, phrases, tag

LEXICON: Lexicon = {
    "player": phrases(
        """{Alma|Boyd|Cleo|Duncan|Esme|Floyd|Greer|Heath|Ilse|Jude} {Ames|Boone|Croft|Drake|Ekberg|Flint|Gale|Hurst}"""
    ),
    "club": phrases(
        "{Riverside|Hillcrest|Oakfield|Queensbury|Ravenhill|Stanmore} {Rovers|United|Athletic|Wanderers|Harriers}"
    ),
    "coach": phrases(
        "trainer {Malone|Nilsson|Orlov|Petrie} / the {head coach|team doctor|club president|kit man|captain}"
    ),
    "time": phrases(
        """in the {opening|closing} minutes / after the interval / at the {spring|county|national} championships
        under floodlights / in front of nine thousand fans / despite a sore {calf|wrist} / in the qualifying round"""
    ),
    "play": {
        "ball": phrases(
            """{headed|curled|volleyed} the ball into the net / took a corner kick / was caught offside
            saved a penalty with both fists
            dribbled past {two|three} defenders / threw the ball in from the touchline
            hit the crossbar with a free kick
            was shown a yellow card for a foul / passed to the striker / cleared the ball off the goal line"""
        ),
        "pool": phrases(
            """{dived|plunged} off the block / swam the {butterfly|backstroke} leg / turned at the wall like a fish
            did fifty lengths of front crawl / lost both goggles in lane four / came up for air too early
            somersaulted from the ten-metre board / touched the tiles first / practised the breaststroke
            floated on the back to rest"""
        ),
        "track": phrases(
            """{cleared|knocked over} the third hurdle / threw the {javelin|discus} out of sight
            sprinted the hundred metres
            landed in the sandpit / passed the baton too late / set the pace in the steeplechase
            jumped two metres high
            broke away on the last lap / put the shot with a roar / false-started from the blocks"""
        ),
        "racket": phrases(
            """served an ace / hit a backhand down the line / broke a string
            argued with the umpire over a double fault
            smashed at the net / saved {two|four} match points / chipped a drop shot / won the tie-break
            lobbed over the opponent's head / rallied from the baseline at deuce"""
        ),
        "gym": phrases(
            """swung on the {rings|high bar} / wobbled on the balance beam / vaulted over the horse
            did a flawless cartwheel
            danced with a ribbon on the mat / held a handstand / landed a double twist / circled the parallel bars
            did the splits / tumbled backwards across the floor"""
        ),
    },
    "end": {
        "won": phrases(
            """{club} lifted the cup / {club} {thrashed|outplayed} the visitors / {club} came out on top
            {club} are champions again
            the gold medal went to {club} / {club} sealed a triumph / {club} {beat|crushed} their old rivals
            a late goal gave {club} the title / {club} march into the final / nobody could stop {club}"""
        ),
        "lost": phrases(
            """{club} were {hammered|humbled} / {club} crashed out / {club} left the field in tears
            {club} conceded five
            {club} finished last / the fans of {club} went home in silence / {club} {slumped|sank} to a heavy defeat
            {club} had to be content with the wooden spoon / {club} threw away their lead / {club} are relegated"""
        ),
        "drawn": phrases(
            """{club} and {club} shared the points / neither {club} nor {club} got the better of the other
            {club} had to settle for a draw
            it finished level for {club} / there was nothing between {club} and {club}
            {club} and {club} cancelled each other out
            a stalemate was all that {club} got / {club} held {club} to a tie / honours were even for {club}"""
        ),
        "off": phrases(
            """the game of {club} was {rained off|postponed} / fog forced {club} to wait for another date
            the referee sent {club} home unplayed
            the fixture of {club} was called off / {club} never kicked off / a frozen pitch kept {club} idle
            the bus of {club} never arrived, and nothing was played / {club} will meet {club} at a later date
            the encounter of {club} was scrapped"""
        ),
    },
    "advice": {
        "push": phrases(
            """come on, you can do it / never give up / one more lap, champ / believe in yourself / dig deep
            show them what you are made of / heads up, the race is not over / I have faith in you / keep fighting
            go for it"""
        ),
        "calm": phrases(
            """take a deep breath / there is no need to rush / relax your shoulders / it is only a game
            slow down and have a drink
            do not worry about the score / sit down for a minute / easy now / let it go / nobody is angry with you"""
        ),
        "warn": phrases(
            """mind your knee / do not train with a fever / stay off the wet boards
            you will tear that muscle if you skip the warm-up
            watch out for their winger / without a helmet you might get hurt / too much weight will ruin your back
            never dive at the shallow end / one more foul and you are out / be careful with that ankle"""
        ),
        "teach": phrases(
            """bend your knees as you land / keep your elbow high / hold the grip with both hands / lean into the bend
            breathe out under water / point your toes / follow through after the stroke
            plant your left foot beside the ball
            stretch the back leg / look ahead, not at your feet"""
        ),
    },
    "move": {
        "hurt": phrases(
            """{player} [T] {sprained|twisted|tore} [/T] a ligament / {player} [T] broke [/T] a collarbone
            {player} [T] pulled [/T] a hamstring
            {player} was [T] {concussed|bruised} [/T] in a clash / an [T] injury [/T] ended the season of {player}
            {player} [T] limped [/T] off / {player} [T] dislocated [/T] a finger"""
        ),
        "move": phrases(
            """{player} [T] {joined|signed for} [/T] {club} / {player} [T] switched [/T] to {club}
            {club} [T] bought [/T] {player}
            {club} [T] loaned [/T] {player} to {club} / the [T] transfer [/T] of {player} to {club} is complete
            {player} [T] moved [/T] to {club} for a record fee / {player} [T] swapped [/T] {club} for {club}"""
        ),
        "stop": phrases(
            """{player} [T] {retired|resigned} [/T] at thirty-five / {player} [T] quit [/T] the sport for good
            {player} [T] bowed [/T] out after ten seasons / the [T] farewell [/T] of {player} brought tears
            {player} [T] ended [/T] a long career / {player} [T] hung [/T] up the boots"""
        ),
        "prize": phrases(
            """{player} was [T] {crowned|honoured} [/T] by the federation / {player} [T] received [/T] a trophy
            {player} was [T] awarded [/T] the bronze medal / a [T] medal [/T] was hung round the neck of {player}
            {player} was [T] named [/T] player of the year / {player} [T] earned [/T] a place in the hall of fame"""
        ),
    },
    "kit": phrases(
        "shin pads / racket / whistle / bathing cap / stopwatch / skipping rope / gumshield / dumb-bell / jersey"
        " / tracksuit"
    ),
}

ACTION = """{time}, {player} {play}.
    {player} {play} {time}.
    {player} of {club} {play}.
    the crowd gasped as {player} {play}.
    {coach} smiled when {player} {play}.
    a photograph in the clubhouse shows how {player} {play}.
    for {club} it was {player} who {play}.
    {player}, a plumber by trade, {play}.
    {coach} missed the moment when {player} {play}."""

RESULTS = """to the surprise of {coach}, {end}.
    {time}, {player} shone, but what counts is this: {end}.
    from the local paper: {end}.
    {player} could hardly believe it: {end}.
    {coach} confirmed it: {end}.
    {end}, {player} reports.
    {end}, and {coach} went straight to the bar.
    the evening ended like this: {end}.
    with {player} on the bench, {end}."""

WORDS = """{coach} shouts to {player}: "{advice}."
    "{advice}," {coach} tells {player}.
    "{player}, {advice}," calls {coach}.
    {coach} takes {player} aside: "{advice}."
    {player} still hears {coach} saying: "{advice}."
    on the wall of the changing room one reads: "{advice}." {coach} wrote it.
    {coach} has one piece of advice for {club}: "{advice}."
    handing over a {kit}, {coach} says to {player}: "{advice}."
    from the side line {coach} calls out to {player}: "{advice}." """

NEWS = """word has got round at {club} that {move}.
    sports news: {move}.
    {coach} announced that {move}.
    {move}, reports the club magazine.
    {move}, to the surprise of {coach}.
    only {coach} knew beforehand that {move}.
    hardly had the season begun when {move}.
    fans are talking of nothing else: {move}.
    {move}, and {coach} had to react."""

SQUAD = """<ATHLETE:{player}> scored twice for <TEAM:{club}>, and {coach} was pleased.
    <TEAM:{club}> beat <TEAM:{club}> thanks to <ATHLETE:{player}>.
    {coach} has left out <ATHLETE:{player}> and <ATHLETE:{player}>.
    {time}, <ATHLETE:{player}> collided with <ATHLETE:{player}>.
    <TEAM:{club}> lost heart when <ATHLETE:{player}> went off.
    somebody took the {kit} of <ATHLETE:{player}>.
    {coach} of <TEAM:{club}> shook hands with <ATHLETE:{player}>.
    {time}, <TEAM:{club}> played without <ATHLETE:{player}>.
    both <TEAM:{club}> and <TEAM:{club}> have made an offer for <ATHLETE:{player}>."""

SENSE = [
    ("{player} has scored the winning goal / {player} has broken the club record", "the fans cheer / everybody sings"),
    (
        "{player} has insulted the referee / {player} punched an opponent",
        "a red card is shown / the culprit is suspended",
    ),
    (
        "{player} lies on the turf with a broken leg / {player} has fainted on the track",
        "paramedics run up / a stretcher arrives",
    ),
    ("it is half-time / the first half is over", "the teams go to the dressing room / oranges are handed round"),
    ("the ball is flat / the ball has burst on a nail", "someone fetches a pump / a new ball is thrown in"),
    (
        "{player} is exhausted and can hardly run / {player} has cramps in both legs",
        "a substitute comes on / a fresh player takes over",
    ),
    (
        "{player} arrives without any shoes / {player} has left the boots at home",
        "a team-mate lends a pair / spare boots are found",
    ),
    ("the score is level after extra time / there is still no winner", "penalties are taken / a shoot-out decides"),
]

FAMILY = Family(
    "sports",
    "meta_test",
    "sports club",
    LEXICON,
    (
        classify(
            "discipline",
            "play",
            {"ball": "football", "pool": "swimming", "track": "athletics", "racket": "tennis", "gym": "gymnastics"},
            ACTION,
            "Which sport is it?",
            "the sport of a scene",
        ),
        classify(
            "result",
            "end",
            {"won": "victory", "lost": "defeat", "drawn": "draw", "off": "cancelled"},
            RESULTS,
            "How did the event end?",
            "victory, defeat, draw, not played",
        ),
        classify(
            "advice",
            "advice",
            {"push": "encouragement", "calm": "comfort", "warn": "caution", "teach": "technique"},
            WORDS,
            "What kind of remark is it?",
            "cheering on, calming, warning, teaching",
        ),
        classify(
            "news",
            "move",
            {"hurt": "hux", "move": "tolve", "stop": "rindle", "prize": "sprock"},
            NEWS,
            "Sort the marked event.",
            "injury, transfer, retirement, honour",
            type="event",
        ),
        choose(
            "outcome",
            SENSE,
            """{coach} looks on. {situation}. What happens next?
            {time}, {situation}. What follows?
            {coach} sees it: {situation}. What comes now?
            "{situation}," {coach} notes. And then?
            {situation}, to the dismay of {coach}. How does it go on?
            {club} are playing, and {situation}. What is likely?
            the commentator says: "{situation}." What do we see next?
            guess what comes next at the ground of {club}: {situation}.
            during the match of {club}, {situation}. What is the result?""",
            "Choose what is likely to follow.",
            "the likely consequence at a match",
        ),
        tag("squad", ("ATHLETE", "TEAM"), SQUAD, "Mark the athletes and the clubs.", "athletes and clubs"),
    ),
)
