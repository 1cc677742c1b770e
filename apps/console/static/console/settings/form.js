// Settings forms: shows the fields that apply to the selected options, and describes the schedule while the user types.

const form = document.querySelector("#content-main form");

/** The value of a field; for a connection, its kind. */
function valueOf(name) {
  const field = form.elements.namedItem(name);
  if (!field) {
    return undefined;
  }
  return field.dataset.kinds ? JSON.parse(field.dataset.kinds)[field.value] : field.value;
}

/** Whether a condition such as "source_connection=http source_pagination_type=page,offset" holds; an empty field
    satisfies every condition. */
function isMet(condition) {
  return condition.split(" ").every((part) => {
    const [name, values] = part.split("=");
    const value = valueOf(name);
    return value === undefined || values.split(",").includes(value);
  });
}

function showApplicableFields() {
  for (const field of form.querySelectorAll("[data-shown-for]")) {
    const box = field.closest(".fieldBox") ?? field.closest(".form-row");
    box.classList.toggle("hidden", !isMet(field.dataset.shownFor));
    const row = field.closest(".form-multiline");
    row?.classList.toggle("hidden", !row.querySelector(".fieldBox:not(.hidden)"));
  }
}

let request = new AbortController();

async function describeSchedule(field) {
  request.abort();
  request = new AbortController();
  const url = new URL(field.dataset.describeUrl, location.href);
  url.searchParams.set("schedule", field.value);
  url.searchParams.set("timezone", form.elements.namedItem("timezone").value);
  const output = form.querySelector(".schedule-text");
  try {
    const response = await fetch(url, { signal: request.signal });
    const description = await response.json();
    output.textContent = description.text;
    output.classList.toggle("is-invalid", !description.is_valid);
  } catch (error) {
    if (error.name !== "AbortError") {
      // The description is optional: saving validates the schedule anyway.
      output.textContent = "";
    }
  }
}

if (form) {
  showApplicableFields();
  form.addEventListener("change", showApplicableFields);
  const schedule = form.querySelector("[data-describe-url]");
  form.addEventListener("input", (event) => {
    if (schedule && (event.target === schedule || event.target.name === "timezone")) {
      describeSchedule(schedule);
    }
  });
}
