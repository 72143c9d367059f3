#!/usr/bin/env python3
"""How often two Rust crates agree with PyPI's `phonenumbers` about phone numbers of the whole world.

Needs `pip install phonenumbers` and cargo. For each region and each type of number the reference has an example; it is
asked as E.164, as people write it nationally and with the last digits changed, and spoilt (cut, lengthened, another
first digit). Then 2,000 Indian mobile numbers in the forms that the APIs accept. Counts go to standard output.
"""
import random
import subprocess
import sys
from collections import Counter

import phonenumbers as pn
from phonenumbers import PhoneNumberFormat as F
from phonenumbers import PhoneNumberType as T

NAMES = {v: k for k, v in vars(T).items() if k.isupper()}
TYPES = [t for t in T.values() if t not in (T.UNKNOWN, T.FIXED_LINE_OR_MOBILE)]


def questions():
    """(region, text) pairs, the same each time."""
    rng = random.Random(7)
    for region in sorted(pn.SUPPORTED_REGIONS):
        for kind in TYPES:
            example = pn.example_number_for_type(region, kind)
            if example is None:
                continue
            e164 = pn.format_number(example, F.E164)
            yield region, e164
            yield region, pn.format_number(example, F.NATIONAL)
            yield "ZZ", pn.format_number(example, F.INTERNATIONAL)
            for _ in range(3):
                yield region, e164[:-3] + f"{rng.randrange(1000):03}"
            yield region, e164[:-1]
            yield region, e164 + str(rng.randrange(10))
            code = len(str(example.country_code)) + 1
            yield region, e164[:code] + str(rng.randrange(10)) + e164[code + 1:]
    for code in sorted(pn.COUNTRY_CODES_FOR_NON_GEO_REGIONS):
        example = pn.example_number_for_non_geo_entity(code)
        if example:
            yield "ZZ", pn.format_number(example, F.E164)
    for _ in range(500):
        digits = str(rng.randrange(6, 10)) + f"{rng.randrange(10**9):09}"
        for text in ("+91" + digits, "91" + digits, "0" + digits, digits):
            yield "IN", text
    for text in ("", "+", "not-a-number", "100", "112", "911", "+1234567890", "+91 98765", "1800 11 4000", "+0123456789"):
        yield "IN", text


def reference(region, text):
    """The reference's answer, in the columns that the Rust side prints."""
    try:
        number = pn.parse(text, None if region == "ZZ" else region)
    except pn.NumberParseException:
        return ("false", "-", "-", "-")
    valid = "true" if pn.is_valid_number(number) else "false"
    region = pn.region_code_for_number(number) or "-"
    return (valid, pn.format_number(number, F.E164), region, NAMES[pn.number_type(number)].replace("_", "").lower())


def main():
    rows = list(questions())
    expected = [reference(*row) for row in rows]
    stdin = "".join(f"{region}\t{text}\n" for region, text in rows)
    print(f"phonenumbers {pn.__version__}: {len(rows)} numbers, {sum(a[0] == 'true' for a in expected)} valid")
    for crate in ("phonenumber", "rlibphonenumber"):
        run = subprocess.run(
            ["cargo", "run", "--release", "--quiet", "--", crate],
            input=stdin, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True,
        )
        counts, examples = Counter(), {}
        for row, want, line in zip(rows, expected, run.stdout.splitlines(), strict=True):
            got = line.split("\t")
            got[3] = got[3].lower().replace("_", "")
            wrong = []
            if got[0] != want[0]:
                wrong.append("validity")
            if want[0] == "true":
                wrong += [name for i, name in ((1, "e164"), (2, "country"), (3, "type")) if got[i] != want[i]]
            for name in wrong:
                counts[name] += 1
                examples.setdefault(name, []).append((row, want, tuple(got)))
        print(f"{crate}: disagrees on " + ", ".join(f"{n} {counts[n]}" for n in ("validity", "e164", "country", "type")))
        print("  " + run.stderr.strip())
        if "--examples" in sys.argv:
            for name, some in examples.items():
                for row, want, got in some[:12]:
                    print(f"  {name}: {row} want {want} got {got}")


if __name__ == "__main__":
    main()
