// Trials: posts the form with its unsaved values, and shows the result on the same page.
//
// A button with `data-trial` has the URL as its `formaction`, and the id of the element for the result in
// `aria-controls`. The page includes console/settings/trial_states.html. After a result is shown, "trial-ended" is
// dispatched on its element.

const states = document.getElementById("trial-states").content;
// The running trial of each element.
const running = new Map();

function show(output, name) {
  output.replaceChildren(states.querySelector(`[data-state="${name}"]`).cloneNode(true));
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

function showRunning(output, controller) {
  show(output, "running");
  const seconds = output.querySelector("[data-seconds]");
  const startedAt = performance.now();
  const timer = setInterval(() => {
    seconds.textContent = `${Math.floor((performance.now() - startedAt) / 1000)} s`;
  }, 1000);
  // The server notices that nobody waits any more.
  output.querySelector("[data-cancel]").addEventListener("click", () => controller.abort());
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
  const url = new URL(button.formAction);
  url.searchParams.set("fragment", "1");

  const timer = showRunning(output, controller);
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
    button.focus({ preventScroll: true });
  }
  if (state) {
    show(output, state);
  } else {
    output.innerHTML = html;
  }
  // The bar with the save button may cover it. Whoever went on elsewhere stays there.
  if (document.activeElement === button) {
    output.scrollIntoView({ block: "nearest" });
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
