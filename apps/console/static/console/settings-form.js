// The settings forms: shows the fields that apply to what is chosen, and the schedule in words while it is typed.

const form = document.querySelector("#content-main form");

/** What is chosen in the field `name`; of a connection its kind. */
function chosen(name) {
  const field = form.elements.namedItem(name);
  if (!field) {
    return undefined;
  }
  return field.dataset.kinds ? JSON.parse(field.dataset.kinds)[field.value] : field.value;
}

/** Whether "source_connection=http source_pagination_type=page,offset" holds; what is not chosen yet hides nothing. */
function applies(condition) {
  return condition.split(" ").every((part) => {
    const [name, choices] = part.split("=");
    const choice = chosen(name);
    return choice === undefined || choices.split(",").includes(choice);
  });
}

function showWhatApplies() {
  for (const field of form.querySelectorAll("[data-shown-for]")) {
    const box = field.closest(".fieldBox") ?? field.closest(".form-row");
    box.classList.toggle("hidden", !applies(field.dataset.shownFor));
    const row = field.closest(".form-multiline");
    row?.classList.toggle("hidden", !row.querySelector(".fieldBox:not(.hidden)"));
  }
}

let asked = new AbortController();

async function describeSchedule(field) {
  asked.abort();
  asked = new AbortController();
  const url = new URL(field.dataset.describeUrl, location.href);
  url.searchParams.set("schedule", field.value);
  url.searchParams.set("timezone", form.elements.namedItem("timezone").value);
  try {
    const response = await fetch(url, { signal: asked.signal });
    const answer = await response.json();
    const output = form.querySelector(".schedule-text");
    output.textContent = answer.text;
    output.classList.toggle("is-invalid", !answer.is_valid);
  } catch (error) {
    if (error.name !== "AbortError") {
      // The words are a courtesy: saving checks the schedule anyway.
      form.querySelector(".schedule-text").textContent = "";
    }
  }
}

if (form) {
  showWhatApplies();
  form.addEventListener("change", showWhatApplies);
  const schedule = form.querySelector("[data-describe-url]");
  form.addEventListener("input", (event) => {
    if (schedule && (event.target === schedule || event.target.name === "timezone")) {
      describeSchedule(schedule);
    }
  });
}
