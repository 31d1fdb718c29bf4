"""Court and law: cases, testimony and sentences."""

from task_suites.embedded.generator import Family, Lexicon, classify, phrases, tag

LEXICON: Lexicon = {
    "judge": phrases("Judge {Alder|Brisco|Clement|Draper|Elwood|Fane} / the {presiding judge|magistrate|bench}"),
    "lawyer": phrases(
        "{counsel|the barrister|the solicitor} for the {plaintiff|defence|insurer|widow} / the public prosecutor"
    ),
    "who": phrases(
        "{Arthur|Bridget|Conrad|Dorothy|Ezra|Ferris|Gloria|Hector|Isobel} {Lane|Mott|Nash|Pryor|Rook|Shaw|Thorpe|Vail}"
    ),
    "day": phrases(
        """on the {first|second|last} day of the hearing / after the recess / shortly before the verdict / on appeal
        in a packed courtroom / behind closed doors / before the jury"""
    ),
    "matter": {
        "theft": phrases(
            """a purse snatched on the tram / a {burgled|ransacked} {flat|kiosk} / a stolen {bicycle|moped}
            shoplifted perfume
            silver spoons taken from a hotel / a pickpocket at the fair / a safe emptied at night
            jewels missing from a vault
            a raid on a bank / a hijacked lorry full of whisky / lead stripped from the church"""
        ),
        "rent": phrases(
            """a tenant who was thrown out / an unpaid deposit on a flat / a landlord who raised the lease
            a lodger's noisy piano
            mould in a rented bedsit / a sublet attic / notice to quit a cottage / overdue payments for a studio
            keys that were never handed back / an eviction in January
            a dispute over service charges in a block of flats"""
        ),
        "kin": phrases(
            """a contested {divorce|adoption} / custody of twin girls / maintenance for a former wife
            a quarrel over a will
            a father's visiting rights / a secret marriage / a disinherited nephew
            a grandmother barred from all visits
            the surname of a newborn / a prenuptial agreement / guardianship of an orphan"""
        ),
        "job": phrases(
            """an unfair dismissal / wages that were never paid / overtime at a cannery / a sacked {waiter|foreman}
            a strike at the dockyard / a bonus withheld by the firm / an apprentice without a contract
            a nurse refused parental leave / bullying by a supervisor / a pension cut for miners
            a trade union's complaint"""
        ),
        "road": phrases(
            """a {speeding|parking} ticket / a driver who jumped the lights / a crash at a roundabout
            a lorry without brakes
            a hit-and-run on the bypass / a motorist over the alcohol limit / a cyclist knocked off the kerb
            a confiscated driving licence / an overtaking van / a rear-end collision
            a pedestrian hurt on a zebra crossing"""
        ),
    },
    "speech": {
        "confess": phrases(
            """I did it, and I am sorry / yes, it was me / I take the blame / I cannot lie any longer
            it was my hand that broke the lock / I admit everything / I plead guilty
            I signed the false receipt myself
            there is no excuse for what I did / I regret that night / the fault is mine alone"""
        ),
        "deny": phrases(
            """I was nowhere near the place / I have never seen that knife / you have got the wrong person
            that is a lie
            I am innocent / somebody else must have done it / I was at home with the flu / none of it is true
            I never laid a finger on anybody / I swear that I had no part in it / those are not my fingerprints"""
        ),
        "saw": phrases(
            """I saw a {tall|limping} man run off / from my window I heard a scream
            the car was {green|grey}, I am certain
            two strangers stood at the gate / I happened to pass by / somebody dropped a bag as I looked on
            it was about nine when I heard the glass break / I noticed a light in the shop / I recognise the face
            my dog barked, and then I spotted them / I was watering my plants when it happened"""
        ),
        "rule": phrases(
            """the objection is overruled / I sentence you to two years / the case is dismissed
            order, or I clear the room
            the appeal is allowed / the jury may retire / costs are awarded to the plaintiff
            bail is set at nine thousand
            this exhibit will be admitted / the session is adjourned / you are free to go"""
        ),
    },
    "step": {
        "seize": phrases(
            """officers [T] {arrested|handcuffed|caught|apprehended} [/T] {who}
            {who} was [T] taken [/T] into custody
            {who} was [T] {detained|picked up} [/T] at the border / the [T] capture [/T] of {who} made headlines
            detectives [T] nabbed [/T] {who} in a cinema / a patrol [T] seized [/T] {who} at the station"""
        ),
        "charge": phrases(
            """the prosecutor [T] {accused|charged|indicted} [/T] {who}
            the [T] accusation [/T] against {who} was read out
            the widow [T] {sued|blamed} [/T] {who} / {who} was [T] summoned [/T] on two counts
            a [T] lawsuit [/T] was filed against {who} / a neighbour [T] reported [/T] {who} for fraud"""
        ),
        "punish": phrases(
            """{judge} [T] {sentenced|fined|jailed} [/T] {who} / {who} was [T] condemned [/T] to hard labour
            {who} was [T] {imprisoned|banned} [/T] for a year / the [T] penalty [/T] for {who} was harsh
            {judge} [T] sent [/T] {who} to jail / {who} was [T] stripped [/T] of a licence"""
        ),
        "free": phrases(
            """{judge} [T] {acquitted|pardoned|cleared} [/T] {who}
            {who} was [T] {released|discharged} [/T] on Friday
            the [T] acquittal [/T] of {who} drew applause / {judge} [T] let [/T] {who} go
            {who} was [T] freed [/T] for lack of proof / a royal [T] pardon [/T] saved {who}"""
        ),
    },
    "bond": {
        "defend": phrases(
            """[E1] {advocate} [/E1] {defends|represents|pleads for|speaks on behalf of} [E2] {who} [/E2]
            [E2] {who} [/E2] has {hired|instructed} [E1] {advocate} [/E1]
            [E2] {who} [/E2] is a client of [E1] {advocate} [/E1]
            [E1] {advocate} [/E1] wants [E2] {who} [/E2] to be acquitted"""
        ),
        "against": phrases(
            """[E1] {who} [/E1] {is suing|demands damages from|has lodged a claim against} [E2] {who} [/E2]
            [E2] {who} [/E2] {is being sued by|owes compensation to} [E1] {who} [/E1]
            [E1] {who} [/E1] drags [E2] {who} [/E2] through the courts
            [E1] {who} [/E1] accuses [E2] {who} [/E2] of {slander|fraud}"""
        ),
        "witness": phrases(
            """[E1] {who} [/E1] {saw|overheard|recognised|watched} [E2] {who} [/E2] near the scene
            [E1] {who} [/E1] testified about what [E2] {who} [/E2] did that night
            [E2] {who} [/E2] was {spotted|observed} from a balcony by [E1] {who} [/E1]
            [E1] {who} [/E1] picked out [E2] {who} [/E2] from a row of photographs"""
        ),
        "harm": phrases(
            """[E1] {who} [/E1] {robbed|attacked|swindled|blackmailed} [E2] {who} [/E2]
            [E2] {who} [/E2] was {hurt|cheated|threatened} by [E1] {who} [/E1]
            [E2] {who} [/E2] fell victim to [E1] {who} [/E1]
            [E1] {who} [/E1] broke the nose of [E2] {who} [/E2]"""
        ),
    },
    "advocate": phrases("{Mr|Ms|Mrs} {Cavell|Dunmore|Estlin|Garrick|Hartley|Ingram|Jessop|Kitson|Lovell} QC"),
    "crime": phrases(
        "arson / perjury / forgery / smuggling / blackmail / libel / trespassing / tax evasion / bigamy"
        " / contempt of court"
    ),
    "sentence": phrases(
        """{two|three|six|nine} {months|years} / a fine of {90|400|2000} pounds
        {forty|eighty} hours of community service
        a suspended sentence / house arrest / life imprisonment"""
    ),
    "clue": phrases(
        "a torn glove / a muddy boot / a letter / a video clip / a receipt / a bent key / a lock of hair / a map"
    ),
}

DOCKET = """{judge} is hearing a case about {matter}.
    the file on {judge}'s desk concerns {matter}.
    {day}, {lawyer} spoke at length about {matter}.
    {who} is in court because of {matter}.
    next on the list: {matter}, with {judge} in the chair.
    what began with {matter} has now reached {judge}.
    {lawyer} and {judge} disagree over {matter}.
    it is all about {matter}, {who} explained {day}.
    {matter}: that is what {who} has to talk about today."""

TESTIMONY = """{day} a firm voice rang out: "{speech}."
    "{speech}." The clerk of {judge} took note {day}.
    the transcript of the hearing before {judge} contains this sentence: "{speech}."
    "{speech}." At these words {lawyer} looked up at {judge}.
    asked about {clue}, the speaker replied: "{speech}."
    {lawyer} quoted one line {day}: "{speech}."
    silence fell {day}. Then one could hear: "{speech}."
    {day}, the stenographer caught every word: "{speech}."
    the papers printed it next to a photograph of {clue}: "{speech}." """

PROCEEDINGS = """with {clue} as evidence, {step}.
    {day}, it was announced that {step}.
    {two|three|nine} months after the crime, {step}.
    according to the court record, {step}.
    {step}, and {lawyer} kept silent.
    {lawyer} was abroad when {step}.
    on account of {clue}, {step}.
    the evening paper says that {step}.
    {step}; {clue} had made the difference."""

PARTIES = """counsel on both sides agree that {bond}.
    {day} it emerged that {bond}.
    {judge} notes that {bond}.
    {bond}, as {lawyer} pointed out.
    {lawyer} reminds the jury that {bond}.
    nobody in court disputes that {bond}.
    {clue} suggests that {bond}.
    {bond}, so {judge} called for order.
    in the matter before {judge}, {bond}."""

SENTENCES = """{judge} gave <PERP:{who}> <TERM:{sentence}> for <OFFENCE:{crime}>.
    <PERP:{who}> was found guilty of <OFFENCE:{crime}> and got <TERM:{sentence}>.
    for <OFFENCE:{crime}> and <OFFENCE:{crime}> the law demands <TERM:{sentence}>.
    {lawyer} asked for <TERM:{sentence}>, but <PERP:{who}> walked free.
    {day}, <PERP:{who}> confessed to <OFFENCE:{crime}>.
    {clue} proved that <PERP:{who}> was involved in <OFFENCE:{crime}>.
    no mercy for <PERP:{who}>: {judge} decided on <TERM:{sentence}>.
    instead of <TERM:{sentence}>, {judge} chose <TERM:{sentence}>.
    <OFFENCE:{crime}> is a grave offence, {judge} told <PERP:{who}>."""

FAMILY = Family(
    "court",
    "meta_test",
    "court and law",
    LEXICON,
    (
        classify(
            "matter",
            "matter",
            {"theft": "larceny", "rent": "tenancy", "kin": "domestic", "job": "employment", "road": "traffic"},
            DOCKET,
            "What is the case about?",
            "the field of law of a case",
        ),
        classify(
            "docket",
            "matter",
            {"theft": "amber", "road": "amber", "rent": "walnut", "job": "walnut", "kin": "tulip"},
            DOCKET,
            "Which list does the case belong on?",
            "offences, contracts, family law",
        ),
        classify(
            "testimony",
            "speech",
            {"confess": "confession", "deny": "denial", "saw": "eyewitness", "rule": "verdict"},
            TESTIMONY,
            "Sort the words spoken in court.",
            "confession, denial, observation, ruling",
        ),
        classify(
            "step",
            "step",
            {"seize": "arrest", "charge": "charge", "punish": "punishment", "free": "freedom"},
            PROCEEDINGS,
            "What does the marked word stand for?",
            "arrest, accusation, punishment, release",
            type="event",
        ),
        classify(
            "parties",
            "bond",
            {"defend": "shield", "against": "arrow", "witness": "mirror", "harm": "thorn"},
            PARTIES,
            "Which code word stands for the link between the two marked persons?",
            "counsel and client, plaintiff and defendant, witness and observed, offender and victim",
            type="relation",
        ),
        tag(
            "sentences",
            ("PERP", "OFFENCE", "TERM"),
            SENTENCES,
            "Mark offender, crime and punishment.",
            "parts of a verdict",
        ),
    ),
)
