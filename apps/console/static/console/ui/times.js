// Shows the times of a page in the locale of the browser and in its time zone, or in the one that the user chose. Stores
// the zone of the browser in a cookie: the server needs it for the days of the chart.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const chosenZone = document.querySelector("meta[name=time-zone]")?.content;
const language = document.documentElement.lang;
// The browser's first locale in the language of the page: en-US formats dates differently than en-GB.
const locale = navigator.languages.find((name) => name.split("-")[0] === language.split("-")[0]) ?? language;
const currentYear = new Date().getFullYear();
const { withoutYear, withYear } = createFormats();

function createFormats() {
  const parts = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" };
  if (chosenZone) {
    parts.timeZone = chosenZone;
  }
  try {
    return {
      withoutYear: new Intl.DateTimeFormat(locale, parts),
      withYear: new Intl.DateTimeFormat(locale, { ...parts, year: "numeric" }),
    };
  } catch {
    // The browser does not know the zone: the times stay as the server wrote them.
    return {};
  }
}

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
if (withYear) {
  localizeTimes(document);
  // Feeds add times later.
  new MutationObserver((changes) => {
    if (changes.some((change) => change.addedNodes.length)) {
      localizeTimes(document);
    }
  }).observe(document.querySelector("main") ?? document.body, { childList: true, subtree: true });
}
