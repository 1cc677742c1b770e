// Shows the times of a page in the reader's zone and locale, and tells the server the zone, whose chart then has the
// reader's days.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const language = document.documentElement.lang;
// Of the browser's languages the first that is that of the page: en-US writes other dates than en-GB.
const locale = navigator.languages.find((one) => one.split("-")[0] === language.split("-")[0]) ?? language;
const thisYear = new Date().getFullYear();
const parts = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" };
const near = new Intl.DateTimeFormat(locale, parts);
const far = new Intl.DateTimeFormat(locale, { ...parts, year: "numeric" });

function localise(root) {
  for (const time of root.querySelectorAll("time[data-moment]")) {
    const moment = new Date(time.dateTime);
    const text = (moment.getFullYear() === thisYear ? near : far).format(moment);
    if (time.textContent !== text) {
      time.textContent = text;
    }
  }
}

if (zone) {
  document.cookie = `synclog_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
}
localise(document);
// What a feed brings later.
new MutationObserver((changes) => {
  if (changes.some((change) => change.addedNodes.length)) {
    localise(document);
  }
}).observe(document.querySelector("main") ?? document.body, { childList: true, subtree: true });
