"""Office IT: tickets for the help desk."""

from task_suites.embedded.generator import Family, Lexicon, classify, extract, phrases, tagged_event

LEXICON: Lexicon = {
    "user": phrases(
        """{Anita|Boris|Carla|Dennis|Ewa|Frank|Gina|Hassan|Iris|Jonas} from {accounts|sales|marketing|payroll}
        {Anita|Boris|Carla|Dennis|Ewa|Frank|Gina|Hassan|Iris|Jonas} from {legal|production|the warehouse}
        the {new intern|head of sales|receptionist|auditor|accountant|managing director}"""
    ),
    "device": phrases(
        """laptop / keyboard / monitor / docking station / headset / webcam / projector / scanner / tablet
        desk phone
        badge reader / label printer / router / mouse / memory stick"""
    ),
    "when": phrases("again / once more / yet again / once again / today"),
    "fault": {
        "account": phrases(
            """the password has expired / the login is rejected / my user name is unknown
            I am locked out after three tries
            the code for signing in never arrives / I may not open the {payroll|shared} folder / access is denied
            the fingerprint is not recognised / my profile has been disabled / I forgot the PIN
            my rights are missing"""
        ),
        "net": phrases(
            """the wireless {drops|is down} / web pages load for ages / the VPN will not connect / I am offline
            the signal is too weak in the {canteen|meeting room} / the network cable is dead
            video calls keep freezing
            no server can be reached / downloads stop halfway / the browser says there is no connection
            mails stay in the outbox"""
        ),
        "paper": phrases(
            """the printer jams / the toner is {empty|smeared} / pages come out blank / the tray keeps asking for A4
            the copier {streaks|squeaks} / only half the letter gets printed / the ink is blotchy
            sheets are crumpled
            the colours on the handout are wrong / the stapler unit is stuck / envelopes get torn in the feeder"""
        ),
        "machine": phrases(
            """the screen {stays black|is cracked} / the fan howls / the battery lasts ten minutes
            the space bar is stuck
            coffee ran into the keyboard / the hard disk clicks / the lid hinge is broken / the pointer jumps about
            the camera light is dead / the power button does nothing / the speaker crackles"""
        ),
    },
    "tone": {
        "polite": phrases(
            """would you be so kind as to look into it? / many thanks in advance / I know how busy you are
            please excuse the trouble / I would be most grateful for a hint / sorry to bother you again
            if it is not too much to ask
            with warm regards to the whole team / you have my sincere thanks / no offence, and thank you"""
        ),
        "rude": phrases(
            """do your job for once / are you all asleep down there? / this is what we pay you for
            what a useless bunch
            get a move on / a child could run it better / wake up / I have never met such idiots
            stop wasting my time
            who on earth hired you?"""
        ),
        "funny": phrases(
            """perhaps the machine wants a holiday / I have tried singing to it
            my plant is now better at computing than I am
            a goldfish would remember more / is it haunted or just in love?
            I may have to buy a typewriter and a pigeon
            the cat denies everything / maybe it is on strike for longer tea breaks / I offered it a biscuit in vain
            it must be allergic to Mondays"""
        ),
    },
    "fix": phrases(
        """<EVENT:restarted> the {device} / <EVENT:replaced> the {device} / <EVENT:updated> the driver
        <EVENT:reset> the password
        <EVENT:unplugged> the {device} / <EVENT:cleaned> the {device} / <EVENT:swapped> the cable
        <EVENT:deleted> the old files
        <EVENT:repaired> the {device} / <EVENT:installed> a patch / <EVENT:copied> the data
        <EVENT:ordered> a spare {device}"""
    ),
    "mishap": phrases(
        """the {device} <CRASH:froze> / the {device} <CRASH:failed> / the server <CRASH:crashed>
        the {device} <CRASH:overheated>
        the network <CRASH:collapsed> / the {device} <CRASH:died> / the backup <CRASH:broke> off
        the {device} <CRASH:exploded>
        the {device} <CRASH:burned> out / the database <CRASH:hung>"""
    ),
    "helper": phrases("{Raj|Stella|Tobias|Uma|Vince|Wendy} / the {technician|help desk|administrator|apprentice}"),
}

TICKETS = """{user} writes: "{fault} {when}."
    "{fault}," says {user}. "It has been like this for {two|three|ten} days."
    ticket from {user}: {fault}. The {device} is new.
    {user} tells {helper}: "{fault} {when}."
    "{fault} {when}, and the {device} is fine," {user} reports.
    call from {user}: "{fault}, and my boss is waiting."
    "{fault}," writes {user}, who has a {device} on loan.
    problem: {fault}. Sent in by {user}.
    {helper} has a message from {user}: "{fault} {when}." """

TONES = """{user} writes: "{fault}. {tone}."
    "{fault}. {tone}," writes {user}.
    "{tone}," says {user}. "You see, {fault}."
    mail from {user}: "{fault}; {tone}."
    "{fault}," writes {user} to {helper}. "{tone}."
    {user} ends the mail about the {device} like this: "{tone}."
    {helper} reads it aloud: "{fault}. {tone}." It is from {user}.
    a ticket about the {device} closes with the words: "{tone}."
    {user} on the phone: "{fault}! {tone}." """

REPAIRS = """after {mishap}, {helper} {fix}.
    {helper} {fix} and {fix}.
    {mishap} while {user} was on the phone.
    {user} says that {mishap} before {helper} {fix}.
    {helper} {fix}, but then {mishap}.
    on {Monday|Tuesday|Friday} {mishap}; {helper} {fix} at once.
    because {mishap}, {user} went home.
    {helper} sat down and {fix} for {user}.
    nobody {fix}, so {mishap} again."""

DEVICES = """{user} asks for a <X:{device}>, because the old one is scratched.
    the <X:{device}> of {user} is broken, but the {device} works.
    {helper} lent {user} a <X:{device}> instead of a {device}.
    {user} wants to give back the <X:{device}> and to keep the {device}.
    {user} has spilled tea on the <X:{device}>, though luckily not on the {device}.
    the {device} is fine; it is the <X:{device}> that troubles {user}.
    somebody has stolen the <X:{device}> from the desk of {user}.
    {helper} found the <X:{device}> under a chair, next to a {device} bag.
    the order of {user} reads: one <X:{device}>, no {device}."""

FAMILY = Family(
    "office",
    "meta_train",
    "office IT",
    LEXICON,
    (
        classify(
            "queue",
            "fault",
            {"account": "account", "net": "network", "paper": "printing", "machine": "hardware"},
            TICKETS,
            "Which queue should the ticket go to?",
            "the topic of a help desk ticket",
        ),
        classify(
            "tone",
            "tone",
            {"polite": "polite", "rude": "rude", "funny": "joking"},
            TONES,
            "What tone does the writer strike?",
            "polite, rude or joking",
        ),
        classify(
            "stamp",
            "tone",
            {"polite": "marble", "rude": "onion", "funny": "whistle"},
            TONES,
            "Give the message its stamp.",
            "polite, rude or joking, under arbitrary names",
        ),
        tagged_event(
            "repairs",
            ("EVENT", "CRASH"),
            REPAIRS,
            "Mark the words for repairs and the words for breakdowns.",
            "event triggers: actions of the help desk and failures",
        ),
        extract("device", DEVICES, "Write down the device that matters.", "the device a message is about"),
    ),
)
