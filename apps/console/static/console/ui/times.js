// Shows the times of a page in the user's time zone and locale, and stores the zone in a cookie: the server needs it
// for the days of the chart.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const language = document.documentElement.lang;
// The browser's first locale in the language of the page: en-US formats dates differently than en-GB.
const locale = navigator.languages.find((name) => name.split("-")[0] === language.split("-")[0]) ?? language;
const currentYear = new Date().getFullYear();
const parts = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" };
const withoutYear = new Intl.DateTimeFormat(locale, parts);
const withYear = new Intl.DateTimeFormat(locale, { ...parts, year: "numeric" });

function localizeTimes(root) {
  for (const time of root.querySelectorAll("time[data-moment]")) {
    const moment = new Date(time.dateTime);
    const format = moment.getFullYear() === currentYear ? withoutYear : withYear;
    const text = format.format(moment);
    if (time.textContent !== text) {
      time.textContent = text;
    }
  }
}

if (zone) {
  document.cookie = `synclog_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
}
localizeTimes(document);
// Feeds add times later.
new MutationObserver((changes) => {
  if (changes.some((change) => change.addedNodes.length)) {
    localizeTimes(document);
  }
}).observe(document.querySelector("main") ?? document.body, { childList: true, subtree: true });
