// The log of a run. Each part of the page has its own module; this one starts them.

import * as autoRefresh from "./auto-refresh.js";
import * as errors from "./errors.js";
import * as find from "./find.js";
import * as follow from "./follow.js";
import { lineAt } from "./lines.js";
import { log, state } from "./page.js";
import * as selection from "./selection.js";
import * as shortcuts from "./shortcuts.js";
import * as times from "./times.js";

times.start();
find.start();
errors.start();
autoRefresh.start();
shortcuts.start();
selection.start();

const target = log.dataset.line && lineAt(log.dataset.line);
if (target) {
  follow.scrollToLine(target);
} else if (state.isOpen && !state.hasLater && !location.hash) {
  follow.scrollToEnd();
}
