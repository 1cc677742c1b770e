// The log of a run. Each part of the page has a module of its own; here they start.

import * as choice from "./log-choice.js";
import * as errors from "./log-errors.js";
import * as find from "./log-find.js";
import * as follow from "./log-follow.js";
import * as keys from "./log-keys.js";
import { bringToSight, goToEnd, lineAt } from "./log-lines.js";
import { log, state } from "./log-page.js";
import * as times from "./log-times.js";

times.start();
find.start();
errors.start();
follow.start();
keys.start();
choice.start();

const wanted = log.dataset.line && lineAt(log.dataset.line);
if (wanted) {
  bringToSight(wanted);
} else if (state.isOpen && !state.hasLater && !location.hash) {
  goToEnd();
}
