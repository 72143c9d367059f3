//! What callees want apart from answering. The rules were written from `corpus/corpus.tsv`; `corpus/heldout.tsv` only counts.

use super::pattern::Pattern;
use super::words::{distance, words};
use crate::flow::grammar::{Intent, IntentHeard};
use std::sync::LazyLock;

/// Classes of words that patterns name.
const CLASSES: &[(&str, &str)] = &[
    ("call", "call|ring|phone|telephone|dial|contact|reach|try|buzz"),
    (
        "calling",
        "calling|ringing|phoning|telephoning|dialing|dialling|contacting",
    ),
    (
        "bother",
        "call|calls|calling|ring|ringing|phone|phoning|contact|contacting|bother|bothering|harass|harassing|pester|pestering|disturb|disturbing|dial|dialing|dialling|spamming|annoying",
    ),
    (
        "time",
        "later|tomorrow|tonight|today|morning|afternoon|evening|noon|lunch|dinner|monday|tuesday|wednesday|thursday|friday|saturday|sunday|week|month|weekend|hour|hours|minutes|minute|oclock|after|at|in|around|about|when|once|next|another|soon|tuesdays|before|past|sometime|some_other",
    ),
    (
        "human",
        "person|human|humans|someone|somebody|anybody|anyone|agent|representative|rep|operator|manager|supervisor|boss|colleague|staff|adviser|advisor|customer_service|customer_support|customer_care|receptionist|specialist|team|people|real",
    ),
    (
        "machine",
        "machine|robot|robots|machines|computer|computers|bot|bots|recording|ai|automated|voicebot",
    ),
    ("moment", "second|sec|moment|minute|min|mo|tick|minutes|seconds|bit"),
    (
        "they",
        "he|she|they|husband|wife|mother|father|mom|mum|dad|son|daughter|brother|sister|boss|partner|owner|roommate",
    ),
];

/// A rule: what is wanted, how surely, the pattern, and patterns that speak against it.
type Rule = (Intent, u8, &'static str, &'static [&'static str]);

/// Somebody else's calls, or our own in the past.
const REPORTED: &[&str] = &[
    "told|said|promised ~~ would|will|to|should",
    "somebody|someone|they|he|she|nobody|people would|will|should ~ @call",
    "i will|would|can|could|should|shall|might|must ~ @call|get",
    "i|we|they|people|friends|everybody|everyone @call|called",
    "never|not got|get|received ~ call",
    "i got|received|get|missed",
];

const NOT_STOP: &[&str] = &[
    "not|never stop|quit|remove|take|delete|erase|block|cancel",
    "@calling until",
];

const RULES: &[Rule] = &[
    // Do not call again.
    (
        Intent::DoNotCall,
        95,
        "not|never ~ @bother ~~ again|any_more|ever|anymore",
        &["not mind|think|remember|care", "did not", "not need it", "not hang"],
    ),
    (
        Intent::DoNotCall,
        95,
        "do_not|never|not_to|you_not|not_ever|to_not|please_not|ever @bother me|us|here|back|this|my|at|on",
        &["did not", "not stop", "i was told"],
    ),
    (
        Intent::DoNotCall,
        92,
        "do_not|not_to|never @bother $",
        &["did not", "not try"],
    ),
    (
        Intent::DoNotCall,
        92,
        "not want|wish|like|need|care|appreciate ~~ calls|call|called|calling|contacted|contact|phoned",
        &[
            "not want|wish|like|need to|it|a call",
            "not want to",
            "want ~ call ~ back",
        ],
    ),
    (
        Intent::DoNotCall,
        92,
        "not want|wish|like to_be called|contacted|phoned|disturbed|bothered",
        &[],
    ),
    (Intent::DoNotCall, 92, "never|not ~ hear from", &["did not", "have not"]),
    (
        Intent::DoNotCall,
        95,
        "stop|quit|cease|desist ~ @bother",
        &["not|never ~ stop|quit|cease", "@calling until"],
    ),
    (
        Intent::DoNotCall,
        92,
        "stop_with|end|enough_of|sick_of|tired_of ~ calls|calling",
        &[],
    ),
    (
        Intent::DoNotCall,
        92,
        "no more|further|other|future ~ calls|call|calling|contact",
        &[],
    ),
    (
        Intent::DoNotCall,
        95,
        "take|remove|get|strike|cross|pull|scratch ~~ off|from ~~ list|lists|database|system|records|register",
        &["not|never take|remove"],
    ),
    (
        Intent::DoNotCall,
        92,
        "take|taken|removed|off ~ off ~~ list|lists",
        &["not|never ~ take|taken|remove"],
    ),
    (
        Intent::DoNotCall,
        92,
        "remove|delete|erase|block|wipe|scrub|forget ~ number|name|details|data|contact|information",
        NOT_STOP,
    ),
    (Intent::DoNotCall, 92, "remove|delete|erase me|us", NOT_STOP),
    (
        Intent::DoNotCall,
        88,
        "want|asked|like|wish|need to_be removed|deleted|taken_off|unsubscribed",
        &[],
    ),
    (Intent::DoNotCall, 92, "do_not_call|no_call list|registry|register", &[]),
    (Intent::DoNotCall, 95, "unsubscribe|unsubscribed", &["not unsubscribe"]),
    (Intent::DoNotCall, 92, "opt|opting|opted ~ out", &["not opt"]),
    (Intent::DoNotCall, 90, "leave me|us ~ alone|in_peace", &[]),
    (
        Intent::DoNotCall,
        92,
        "lose|forget my|this number",
        &["not|never lose|forget"],
    ),
    (
        Intent::DoNotCall,
        85,
        "harassment|harassing|spam|nuisance",
        &["not|no harassment|spam|nuisance"],
    ),
    (
        Intent::DoNotCall,
        75,
        "you|people keep calling|ringing|phoning",
        &["not keep", "keep calling until"],
    ),
    // Wrong person.
    (
        Intent::WrongPerson,
        95,
        "wrong|incorrect|mistaken number|numbers|person|guy|man|woman|lady|house|people|party|household|phone|fellow",
        &["on ~ bill|invoice|order|letter|form", "wrong number of"],
    ),
    (Intent::WrongPerson, 92, "^ ~ number wrong $", &["my number"]),
    (
        Intent::WrongPerson,
        92,
        "wrong|not_the|another one|person ~ you ~ want|wanted|looking|need|trying|calling|after",
        &[],
    ),
    (
        Intent::WrongPerson,
        92,
        "not the ~ person|one|man|woman|guy ~ you ~~ want|wanted|looking|need|trying|after|seek|think",
        &[],
    ),
    (
        Intent::WrongPerson,
        92,
        "not the right|correct person|number|one|guy|man|woman|house",
        &[],
    ),
    (
        Intent::WrongPerson,
        90,
        "i_am|this_is|that_is|am not him|her|he|she",
        &[],
    ),
    (
        Intent::WrongPerson,
        92,
        "not my|his|her name|number",
        &["not my number one", "is not my name on"],
    ),
    (Intent::WrongPerson, 90, "this|that|it is|was not me", &[]),
    (
        Intent::WrongPerson,
        90,
        "this|i is|am not mister|mr|mrs|miss|ms|doctor",
        &[],
    ),
    (
        Intent::WrongPerson,
        92,
        "nobody|no_one|no_body|none|no_person|not_anyone|not_anybody ~~ name|called|named|that|here|lives",
        &["nobody|no_one|none ~ told|call|called|calls|came|comes|has|answered"],
    ),
    (
        Intent::WrongPerson,
        92,
        "no|not_a|not_any ~ here|at_this|at_that|in_this_house|in_this ~ $",
        &["not|nobody|no ~ is|am|was here", "i am", "is not"],
    ),
    (
        Intent::WrongPerson,
        90,
        "there|we is|have|has|are no ~ here|at_this|living|by|with|called|named",
        &[],
    ),
    (
        Intent::WrongPerson,
        90,
        "not|no_longer|never ~ live|lives|living|work|works|stay|stays ~ here|there|at_this",
        &["i|we ~ not|no_longer"],
    ),
    (
        Intent::WrongPerson,
        88,
        "@they ~ moved|left|relocated ~ out|away|years|long|ago|abroad|house",
        &["moved it|them|that"],
    ),
    (
        Intent::WrongPerson,
        88,
        "no_longer|not|never|used_to_be ~~ his|her|their|that_person number|phone",
        &[],
    ),
    (
        Intent::WrongPerson,
        92,
        "not|never know|knew|heard ~ who_that|who_this_person|anyone|anybody|any|him|her|them|a_person|of|who_he|who_she|person",
        &[
            "know anything|any_of|of_any",
            "never heard of ~~ offer|company|product|it|that|this|you",
            "heard back",
        ],
    ),
    (Intent::WrongPerson, 95, "misdialed|misdialled|misdial", &[]),
    (
        Intent::WrongPerson,
        92,
        "dialed|dialled|called|rang|phoned|calling|reached ~ wrong",
        &[],
    ),
    (
        Intent::WrongPerson,
        88,
        "this|that|it is|was somebody|someone else",
        &[],
    ),
    (
        Intent::WrongPerson,
        90,
        "number|phone belongs|belonged ~ somebody|someone|another|different|me",
        &[],
    ),
    (
        Intent::WrongPerson,
        88,
        "used_to_be|was|is|now ~ somebody|someone_else|else ~ number",
        &[],
    ),
    (
        Intent::WrongPerson,
        85,
        "got|have|had ~ this|a ~ number ~ recently|last|new|ago|weeks|months",
        &["told"],
    ),
    (
        Intent::WrongPerson,
        88,
        "@they has|have|uses|got a|another different|new|number ~ number",
        &[],
    ),
    (
        Intent::WrongPerson,
        85,
        "@they has|have|uses|got a|another different|new|other number",
        &[],
    ),
    // A person, please.
    (
        Intent::Person,
        92,
        "speak|talk|chat|word|speaking|talking ~ to|with ~~ @human",
        &[
            "who ~ i speaking|talking",
            "am_i|are_we speaking|talking",
            "not|never want|like|wish|need to_talk|to_speak|to_chat ~ @human",
            "have_talked|have_spoken|spoke|talked",
        ],
    ),
    (
        Intent::Person,
        92,
        "@human ~ speak|talk|chat ~ to|with $",
        &["i spoke|talked"],
    ),
    (
        Intent::Person,
        92,
        "@human ~ i|we can|could|may|might|should talk|speak",
        &[],
    ),
    (
        Intent::Person,
        92,
        "not|no|hate|refuse|rather ~~ talk|speak|talking|speaking ~ @machine",
        &["not mind", "am not a"],
    ),
    (
        Intent::Person,
        92,
        "transfer|connect|redirect|forward|escalate|switch me|us|this|the",
        &[
            "not transfer|connect|forward|switch",
            "transfer ~ money|payment|amount|sum|funds|balance",
        ],
    ),
    (
        Intent::Person,
        90,
        "can|could|able|please|would ~~ transfer|connect|escalate $",
        &[],
    ),
    (Intent::Person, 90, "able ~ to|you transfer|connect", &["not able"]),
    (
        Intent::Person,
        92,
        "put|pass|patch|hand me|us|a_person|someone|somebody ~ through|on|to|over",
        &["put me on ~ list", "put me down"],
    ),
    (
        Intent::Person,
        92,
        "get|give|want|need|find|have me|a|an|the|to ~ @human",
        &[
            "person|people with|for",
            "need|want a|the|an|to ~ person|people ~ for",
            "my|the|a manager|boss|agent ~ told|said|is",
            "is this|that",
            "have a team|manager|boss|agent",
        ],
    ),
    (
        Intent::Person,
        88,
        "give|get me|us ~ human|person|manager|agent|supervisor|boss",
        &[],
    ),
    (
        Intent::Person,
        90,
        "real|live|actual|human|proper person|human|agent|being|operator|people ~ please|now|$",
        &["is this|that|it", "are you", "am i", "estate"],
    ),
    (
        Intent::Person,
        90,
        "^ ~ agent|operator|human|representative|manager|supervisor|receptionist|customer_service|customer_support ~ please|$",
        &["is|are|am|my|work|works|told|said|was|a ~", "as a"],
    ),
    (
        Intent::Person,
        88,
        "speak|talk agent|representative|human|person|operator|manager",
        &[],
    ),
    (
        Intent::Person,
        88,
        "person|human|someone|somebody|colleague ~~ call|ring|phone|contact me",
        &[
            "told|said|promised ~~ would|will",
            "i was",
            "the person",
            "would call|ring|phone",
            "no one",
            "asked",
        ],
    ),
    // Later.
    (
        Intent::Later,
        95,
        "@call|called|calling me|us ~~ back|later|@time",
        REPORTED,
    ),
    (Intent::Later, 93, "@call|called|calling|get|calls back", REPORTED),
    (Intent::Later, 90, "@call|called|calling ~ again ~ @time", REPORTED),
    (
        Intent::Later,
        88,
        "try|call|phone|ring again",
        &[
            "not|never ~ again",
            "may|mind|can call",
            "try again with",
            "i will|would|can",
            "no_one",
            "i try",
        ],
    ),
    (
        Intent::Later,
        90,
        "@call|calling @time|me_@time",
        &[
            "i|we|they|you|to|the|your|a|my|this|that|about|phone @call|calling",
            "not|never ~ @call",
            "try in|at",
        ],
    ),
    (
        Intent::Later,
        90,
        "please|busy|can_you|could_you|would_you|mind|then|just|better @call|calling ~ @time",
        REPORTED,
    ),
    (
        Intent::Later,
        92,
        "give me|us a call|ring|buzz|shout|bell ~ @time|back",
        &[],
    ),
    (Intent::Later, 92, "get back to me|us", REPORTED),
    (
        Intent::Later,
        90,
        "need|like|want|ask you to call|contact|reach|phone|ring",
        &["not need|like|want|ask"],
    ),
    (
        Intent::Later,
        88,
        "i_am|we_are|am|bit|little|too|very|really|quite|kind_of busy|occupied|tied_up|swamped|unavailable",
        &["not ~ busy|occupied"],
    ),
    (Intent::Later, 90, "^ ~ busy", &["not ~ busy", "are you", "is it|line"]),
    (
        Intent::Later,
        88,
        "i_am|am|we_are|just ~ driving|eating|cooking|sleeping|shopping|travelling|traveling|boarding|having_dinner|having_lunch|sick|ill|unwell|in_bed|behind_the_wheel|on_holiday",
        &["not driving|sick|ill|busy", "i_am not"],
    ),
    (
        Intent::Later,
        90,
        "in|into|at|on|with|have a|an|the|another|my|some|this|other meeting|class|conference|interview|lecture|hospital|car|shower|bath|train|bus|appointment|funeral|call|line|customer|client|middle|visitors|patient",
        &[
            "in the call",
            "on the call",
            "at the call",
            "have a call|patient|client|customer|car|meeting ~ on|at|tomorrow",
            "in the mail",
            "have a|an|the ~ appointment",
            "want|like|book|make|need|cancel|move|change|keep ~~ appointment",
            "on the|my line",
            "with my car",
            "in the car park",
            "not in|on|at",
        ],
    ),
    (
        Intent::Later,
        85,
        "in class|traffic|court|surgery|bed|church|hospital",
        &["not in"],
    ),
    (
        Intent::Later,
        88,
        "bad|terrible|awful|wrong|awkward|inconvenient|horrible|difficult|worst time|moment|timing",
        &["not ~ bad|terrible", "no bad"],
    ),
    (
        Intent::Later,
        88,
        "not|never ~ good|great|best|right|convenient|ideal time|moment",
        &["what|when is"],
    ),
    (
        Intent::Later,
        85,
        "caught|catch|got me ~ at|later|in|tomorrow",
        &["not|did catch|got"],
    ),
    (
        Intent::Later,
        85,
        "^ ~ not right_now|now|at_the_moment|at_this_moment",
        &["busy", "not now that"],
    ),
    (
        Intent::Later,
        90,
        "can_not|could_not|unable_to|not_able_to|can_hardly talk|speak|chat|discuss|do_this",
        &["speak|talk english|spanish", "hear", "speak up"],
    ),
    (
        Intent::Later,
        88,
        "no|not ~ time|minute|moment for_this|now|right_now|at_the_moment|$|today",
        &[
            "at_no",
            "no_time like",
            "not that|the|a_good|a_bad time",
            "what time",
            "not ~ good|great|bad",
        ],
    ),
    (
        Intent::Later,
        85,
        "some|another|different other|different time|day",
        &[],
    ),
    (
        Intent::Later,
        85,
        "another|different|other|better|later time|day|moment|date",
        &["i will ~ be", "each|every|the other day", "no other", "one other"],
    ),
    (Intent::Later, 85, "later|tomorrow please $", &["not later", "@time at"]),
    (
        Intent::Later,
        85,
        "^ ~ later $",
        &["i will|would|want|can|pay", "to you later", "you later", "not later"],
    ),
    (
        Intent::Later,
        88,
        "talk|speak|chat|do|have|discuss|continue this|it|that|then ~ later|tomorrow|another",
        &["i will|want|would|can|should"],
    ),
    (
        Intent::Later,
        88,
        "let us|me talk|speak|do|chat|discuss ~ @time",
        &["let me"],
    ),
    (
        Intent::Later,
        88,
        "can|could|may|should we talk|speak|do|chat|discuss ~ later|@time",
        &[],
    ),
    (
        Intent::Later,
        90,
        "reschedule|postpone|rearrange ~ call|conversation|chat|this",
        &["not reschedule|postpone", "appointment|booking|delivery|visit"],
    ),
    (Intent::Later, 85, "on my|the way|road", &[]),
    (
        Intent::Later,
        85,
        "about_to|just_leaving|just_heading|heading_out|going_out ~ leave|go|head|start|eat|sleep|out|board",
        &["not about"],
    ),
    (Intent::Later, 85, "hands full", &[]),
    (
        Intent::Later,
        85,
        "i_am|we_are at work|dinner|lunch|school|church",
        &["not at"],
    ),
    (
        Intent::Later,
        88,
        "is|are not ~ here|home|in|available|around|there|present",
        &[
            "no|not_one|anyone|person|which|it|that|this|what|what_i is|are not",
            "there is not",
            "i_am not|here",
            "name",
            "not in ~ mood|stock",
        ],
    ),
    (
        Intent::Later,
        85,
        "@they is|are ~ out|away|sleeping|asleep|at_work|busy|unavailable|gone|travelling|driving|napping|working|in_the|in_a|on_the",
        &["not out|away|asleep|busy"],
    ),
    (
        Intent::Later,
        85,
        "@they will_be|is|are|comes|gets|should_be back|home|in|available|free ~ @time|at|after|later|tomorrow",
        &[],
    ),
    (Intent::Later, 88, "will_be back|home ~ @time", &["i will"]),
    (
        Intent::Later,
        85,
        "@they|just ~ stepped|popped|gone|went|left ~ out",
        &[],
    ),
    // Who is this?
    (
        Intent::Who,
        92,
        "who ~ this|calling|that|there|speaking|phoning",
        &["know who", "pay|ask", "you know", "person who|that", "who_i ~ paid"],
    ),
    (Intent::Who, 92, "who are|is you", &["know who"]),
    (
        Intent::Who,
        92,
        "who|whom ~ am|are|do|did i|we|you ~ speaking|talking|speak|talk|calling|work|represent|with|from",
        &[],
    ),
    (
        Intent::Who,
        90,
        "what|which ~ company|business|organization|organisation|firm ~ is|are|do|you|this|$",
        &["my|our company"],
    ),
    (
        Intent::Who,
        90,
        "where ~ you|this call|calling|ringing|phoning|from",
        &[],
    ),
    (Intent::Who, 90, "what|may|can|could ~~ your name", &[]),
    (Intent::Who, 85, "^ ~ and you are $", &[]),
    (
        Intent::Who,
        90,
        "are|is|am you|this|it|i ~~ @machine|human|real_person|real|person|live_person",
        &[
            "speak|talk ~ to|with ~ about",
            "this is|am|the|my",
            "am the",
            "is this real estate|price",
            "i am a|the|an",
            "are you ~ available",
            "i could|can|may",
        ],
    ),
    // What is this about?
    (
        Intent::About,
        92,
        "what|whats ~ this|it|that|call|you ~~ about|regarding|concerning|reference|regard",
        &["do not|not care|know ~ what"],
    ),
    (
        Intent::About,
        92,
        "why ~ you|this call|calling|called|ringing|phoning|phone",
        &["why ~ you not", "reason why"],
    ),
    (
        Intent::About,
        90,
        "^ ~ what do_you|you|would_you want|need|like",
        &["want me to", "do you want to know"],
    ),
    (
        Intent::About,
        90,
        "purpose|reason|subject|point ~ of|for|behind ~~ call|calling",
        &[],
    ),
    (
        Intent::About,
        88,
        "^ ~ is|was this|it|that|the_call about|regarding|concerning",
        &[],
    ),
    (
        Intent::About,
        88,
        "regarding|concerning|about what",
        &["about what i|you|we|time|happened"],
    ),
    (Intent::About, 85, "^ what for $", &[]),
    // Say that again.
    (
        Intent::Repeat,
        90,
        "^ ~ what|sorry|pardon|huh|excuse_me|come_again|say_what|again_please|one_more_time|again|repeat|repeat_please $",
        &["no|yes|the|same|so|that", "sorry $ ~ no"],
    ),
    (Intent::Repeat, 90, "pardon|beg_your_pardon|come_again|pardon_me", &[]),
    (
        Intent::Repeat,
        92,
        "say|repeat|tell|explain|ask ~ that|it|this|yourself|question|what_you|me ~ again|slower|slowly|please|question|said|once|one_more|more|$",
        &[
            "not|never say|repeat|ask",
            "i say|repeat|ask|tell",
            "tell|ask me the|about|more|$",
            "say that|it $ ~ to",
        ],
    ),
    (
        Intent::Repeat,
        92,
        "can|could|please|would|will ~ repeat ~ that|it|this|yourself|question|please|$",
        &["repeat the order|prescription", "repeat order|prescription"],
    ),
    (Intent::Repeat, 92, "repeat the|your question|sentence|last", &[]),
    (
        Intent::Repeat,
        90,
        "did|do|could|can not|hardly|barely ~ hear|catch|understand|follow|get|make_out ~ you|that|it|what|the|a_word|last|question|$",
        &[
            "get it yet|back|done",
            "not get the|a|it|that ~ letter|mail|email|bill|delivery|package|parcel|message",
            "not understand why|how",
        ],
    ),
    (Intent::Repeat, 88, "can|could barely|hardly|not hear", &[]),
    (
        Intent::Repeat,
        88,
        "not hear|catch|understand",
        &["not hear|heard ~ from|back|of", "not understand why|how", "not catch a"],
    ),
    (
        Intent::Repeat,
        90,
        "breaking|broke|cutting|cut|breaks up|out|off",
        &["broke up with"],
    ),
    (
        Intent::Repeat,
        88,
        "bad|poor|terrible|noisy|awful line|connection|reception|signal",
        &[],
    ),
    (
        Intent::Repeat,
        88,
        "line|connection|reception|signal is ~ bad|poor|terrible|noisy|awful|breaking",
        &[],
    ),
    (
        Intent::Repeat,
        88,
        "speak|talk|say|go ~ up|louder|slower|slowly|clearly",
        &["go up|slowly"],
    ),
    (Intent::Repeat, 92, "what did|do|were you ~ say|saying|ask|mean", &[]),
    (
        Intent::Repeat,
        90,
        "what was that|the_question|your_question|it",
        &["what was it about", "what was that about"],
    ),
    (Intent::Repeat, 88, "what is|was the|your question", &[]),
    (
        Intent::Repeat,
        88,
        "one_more_time|once_more|once_again|say_again|say_that_again|again_please",
        &["call|calling|ring|no ~~ once_more|once_again|one_more_time"],
    ),
    (
        Intent::Repeat,
        88,
        "missed ~ that|it|last|what|bit|part",
        &["missed ~ call|appointment|payment|bus"],
    ),
    (
        Intent::Repeat,
        88,
        "run|go|take ~ by|over|through ~ me|that again|once|that",
        &[],
    ),
    // Goodbye.
    (
        Intent::Goodbye,
        92,
        "goodbye|bye|bye_bye|cheerio|farewell|ciao",
        &["say|said|saying ~ goodbye|bye"],
    ),
    (
        Intent::Goodbye,
        88,
        "have a ~ good|nice|great|lovely|wonderful|pleasant|blessed ~ day|one|evening|night|weekend|afternoon|morning|time",
        &["want|like to_have"],
    ),
    (
        Intent::Goodbye,
        90,
        "hang|hanging ~ up",
        &["not|never|why|before|you|did ~ hang|hanging", "hung"],
    ),
    (
        Intent::Goodbye,
        85,
        "have|got|need|must|has ~ to|must|gotta go|run|leave|dash|hang ~ now|bye|sorry|$",
        &["go|run|leave ~ to|for|through", "not have|need|got"],
    ),
    (Intent::Goodbye, 85, "must leave|go now|$", &[]),
    (
        Intent::Goodbye,
        88,
        "talk|speak|see|catch ~ you|ya later|soon|tomorrow|around|then|next",
        &["when|can|could|i_want ~ talk|speak|see|catch"],
    ),
    (Intent::Goodbye, 85, "see you $", &[]),
    (Intent::Goodbye, 85, "take care", &["take care of"]),
    (
        Intent::Goodbye,
        90,
        "end|finish|terminate|stop|drop ~ this|the call|conversation",
        &["not|at_the end|finish"],
    ),
    (Intent::Goodbye, 85, "good_night|goodnight", &["a good_night"]),
    (Intent::Goodbye, 80, "^ ~ that is all|everything|it ~ thanks|thank", &[]),
    // One moment.
    (
        Intent::HoldOn,
        90,
        "hold|hang on|up|the_line",
        &["not hold|hang", "hold on to"],
    ),
    (Intent::HoldOn, 88, "please hold $", &[]),
    (
        Intent::HoldOn,
        88,
        "hold please|a|one|for_a|for_one",
        &["hold a ~ booking|table|place|room|card|account"],
    ),
    (Intent::HoldOn, 88, "bear with", &[]),
    (
        Intent::HoldOn,
        90,
        "one|just|wait|need|take|hold|only ~ @moment",
        &[
            "@moment ago",
            "minutes|seconds|twenty|thirty|@moment ~ late|walk|drive",
            "just ~ minutes",
            "second option|one|time|floor|name",
            "not one",
            "one ~ minutes|seconds",
            "one minute|second|bit to",
        ],
    ),
    (
        Intent::HoldOn,
        90,
        "give me ~ a|one|some|just @moment|time",
        &["second option|one|time", "give me a ~ price"],
    ),
    (Intent::HoldOn, 88, "^ wait $", &[]),
    (Intent::HoldOn, 88, "^ ~ wait please|up", &[]),
    (
        Intent::HoldOn,
        88,
        "let me|us ~ check|think|see|look|get|find|grab|ask|fetch|write|search|pull_up|turn",
        &["let me know", "ask you"],
    ),
    (
        Intent::HoldOn,
        85,
        "need to|i_need_to|have_to|must ~ look|find|check|get|grab|fetch ~ it|my|the|$",
        &["not need", "check in|with_my"],
    ),
];

/// Which intent counts when several are heard, first to last.
const ORDER: &[Intent] = &[
    Intent::DoNotCall,
    Intent::WrongPerson,
    Intent::Person,
    Intent::Later,
    Intent::Who,
    Intent::About,
    Intent::Repeat,
    Intent::Goodbye,
    Intent::HoldOn,
];

struct Compiled {
    intent: Intent,
    percent: u8,
    pattern: Pattern,
    unless: Vec<Pattern>,
}

static COMPILED: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    let compile = |rule: &Rule| Compiled {
        intent: rule.0,
        percent: rule.1,
        pattern: Pattern::new(rule.2, CLASSES),
        unless: rule.3.iter().map(|&pattern| Pattern::new(pattern, CLASSES)).collect(),
    };
    RULES.iter().map(compile).collect()
});

/// The intent of what was heard.
pub(super) fn understand(heard: &str, callee_name: Option<&str>) -> Option<IntentHeard> {
    // A monologue of ten minutes is no wish about the call; its end is what counts.
    let mut words = words(heard);
    if words.len() > WORDS_MAX {
        words = words.split_off(words.len() - WORDS_MAX);
    }
    if words.is_empty() {
        return None;
    }
    ORDER.iter().find_map(|&intent| heard_as(intent, &words, callee_name))
}

const WORDS_MAX: usize = 60;

fn heard_as(intent: Intent, words: &[String], callee_name: Option<&str>) -> Option<IntentHeard> {
    let mut best: Option<IntentHeard> = None;
    let rules = COMPILED.iter().filter(|rule| rule.intent == intent);
    for rule in rules {
        let Some((from, to)) = rule.pattern.find(words) else {
            continue;
        };
        if rule.unless.iter().any(|pattern| pattern.find(words).is_some()) {
            continue;
        }
        let whole = words.len() <= (to - from) + 5;
        if best.as_ref().is_none_or(|best| rule.percent > best.confidence_percent) {
            best = Some(IntentHeard {
                intent,
                confidence_percent: rule.percent,
                whole,
            });
        }
    }
    if best.is_none() && intent == Intent::WrongPerson && denies_name(words, callee_name) {
        return Some(IntentHeard {
            intent,
            confidence_percent: 90,
            whole: true,
        });
    }
    best
}

/// "This is not John": of the callee's own name, or of one word that is no ordinary one.
fn denies_name(words: &[String], callee_name: Option<&str>) -> bool {
    let subject = [
        "this is not",
        "i am not",
        "that is not",
        "you are not talking to",
        "not speaking to",
    ];
    subject.iter().any(|subject| {
        let needle: Vec<&str> = subject.split(' ').collect();
        let Some(at) = super::words::find(words, &needle) else {
            return false;
        };
        let rest = words.get(at + needle.len()..).unwrap_or(&[]);
        let Some(first) = rest.first() else { return false };
        match callee_name {
            Some(name) => super::words::words(name)
                .iter()
                .any(|part| distance(part, first) <= usize::from(part.len() > 4)),
            None => subject.starts_with("this") && rest.len() == 1 && !NO_NAMES.contains(&first.as_str()),
        }
    })
}

/// What else follows "this is not".
const NO_NAMES: &[&str] = &[
    "right",
    "correct",
    "true",
    "fair",
    "good",
    "ok",
    "fine",
    "funny",
    "it",
    "possible",
    "working",
    "necessary",
    "important",
    "urgent",
    "enough",
    "clear",
    "acceptable",
    "what",
    "mine",
    "ours",
    "wrong",
    "bad",
    "helpful",
    "new",
    "easy",
    "me",
    "about",
    "real",
    "cool",
    "nice",
    "yes",
    "no",
    "certain",
    "sure",
    "convenient",
    "great",
    "useful",
    "interesting",
    "relevant",
    "allowed",
    "legal",
];
