"""German dates with short months, as browsers show them."""

DATE_FORMAT = SHORT_DATE_FORMAT = "j. N Y"
DATETIME_FORMAT = SHORT_DATETIME_FORMAT = "j. N Y, H:i"
MONTH_DAY_FORMAT = "j. N"
TIME_FORMAT = "H:i"
