"""Help text for authors of scripts, shown beside the field of the form."""

from django.utils.translation import gettext_lazy as _

SCRIPT_HELP = _("""\
A script is Starlark, a small dialect of Python without imports, files, network or clock. It defines one function, \
which is called for every page of records and returns the records to push:

    def transform(records):
        log("%d records" % len(records))
        return [{"sku": r["id"], "qty": r["quantity"]} for r in records if r["quantity"]]

Records are JSON values: dict, list, text, numbers, True, False, None. In addition to Starlark's own functions:

log(message, level="info")          a line in the log; level: debug, info, warning, error
fail(message)                       ends the run as failed
json.encode(value)                  json.decode(text)
dates.parse(text, pattern)          "31.01.2026", "%d.%m.%Y" gives "2026-01-31"
dates.format(date, pattern)         "2026-01-31", "%d.%m.%Y" gives "31.01.2026"
dates.add(date, days=0, hours=0, minutes=0, seconds=0)
dates.utc(date)                     dates.seconds_between(first, second)
dates.to_epoch(date)                dates.from_epoch(seconds)
regex.find(pattern, text)           the first match and its groups as a list, or None
regex.find_all(pattern, text)       a list of such lists
regex.matches(pattern, text)        whether all of the text matches
regex.replace(pattern, replacement, text)
regex.split(pattern, text)
hashing.sha256(text)                hashing.md5(text)
base64.encode(text)                 base64.decode(text)

Dates are ISO 8601 text with or without a time; without a time zone they are in UTC. A call of transform may take 60 \
seconds and 512 MiB of memory, log 1 MiB and return 8 MiB.""")
