// The log of a run. Each part of the page has a module of its own; here they start.

import * as choice from "./log-choice.js";
import * as find from "./log-find.js";
import * as follow from "./log-follow.js";
import * as keys from "./log-keys.js";
import { goToEnd } from "./log-lines.js";
import { log, state } from "./log-page.js";
import * as times from "./log-times.js";

times.start();
find.start();
follow.start();
keys.start();
choice.start();

if (log.dataset.line) {
  document.getElementById(`L${log.dataset.line}`)?.scrollIntoView({ block: "center" });
} else if (state.isOpen && !location.hash) {
  goToEnd();
}
