// Trials: posts the form with its unsaved values, and shows the result on the same page.
//
// A button with `data-trial` has the URL as its `formaction`, and the id of the element for the result in
// `aria-controls`. The page includes console/settings/trial_states.html. After a result is shown, "trial-ended" is
// dispatched on its element.

// Time for the server to respond with what a cancelled trial has found so far.
const PATIENCE_MS = 3000;
const states = document.getElementById("trial-states").content;
// The running trial of each element.
const running = new Map();

function show(output, name) {
  output.replaceChildren(states.querySelector(`[data-state="${name}"]`).cloneNode(true));
}

function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function post(url, fields, options) {
  return fetch(url, { method: "POST", body: fields, redirect: "manual", ...options });
}

/** Takes over the token of a new session: the user may have logged in again in another tab. */
function refreshToken(form) {
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
  if (token) {
    form.elements.namedItem("csrfmiddlewaretoken").value = token;
  }
}

async function resultOf(response) {
  if (response.ok) {
    return response.text();
  }
  if (response.type === "opaqueredirect") {
    throw new Error("logged-out");
  }
  throw new Error(response.status === 403 ? "forbidden" : "failed");
}

function cancel(form, id, button, controller) {
  // A disabled button would lose the focus.
  button.setAttribute("aria-disabled", "true");
  const fields = new FormData();
  fields.set("csrfmiddlewaretoken", form.elements.namedItem("csrfmiddlewaretoken").value);
  fields.set("trial_id", id);
  post(button.dataset.cancelUrl, fields).catch(() => {});
  setTimeout(() => controller.abort(), PATIENCE_MS);
}

function showRunning(output, form, id, controller) {
  show(output, "running");
  const seconds = output.querySelector("[data-seconds]");
  const startedAt = performance.now();
  const timer = setInterval(() => {
    seconds.textContent = `${Math.floor((performance.now() - startedAt) / 1000)} s`;
  }, 1000);
  const button = output.querySelector("[data-cancel-url]");
  button.addEventListener("click", () => cancel(form, id, button, controller), { once: true });
  return timer;
}

async function run(button) {
  const output = document.getElementById(button.getAttribute("aria-controls"));
  running.get(output)?.abort();
  const controller = new AbortController();
  running.set(output, controller);

  const { form } = button;
  refreshToken(form);
  const fields = new FormData(form, button);
  const id = newId();
  fields.set("trial_id", id);
  const url = new URL(button.formAction);
  url.searchParams.set("fragment", "1");

  const timer = showRunning(output, form, id, controller);
  let html = null;
  let state = null;
  try {
    html = await resultOf(await post(url, fields, { signal: controller.signal }));
  } catch (error) {
    state = error instanceof TypeError ? "offline" : error.name === "AbortError" ? "cancelled" : error.message;
  }
  clearInterval(timer);
  if (running.get(output) !== controller) {
    return;
  }
  running.delete(output);
  if (output.contains(document.activeElement)) {
    button.focus();
  }
  if (state) {
    show(output, state);
  } else {
    output.innerHTML = html;
  }
  output.dispatchEvent(new CustomEvent("trial-ended", { bubbles: true }));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-trial]");
  if (button) {
    event.preventDefault();
    run(button);
  }
});
