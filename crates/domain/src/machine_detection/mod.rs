//! Who answered: a person, voicemail, a screening assistant, a menu, a fax, nobody. Pure; evidence in, verdicts out.
