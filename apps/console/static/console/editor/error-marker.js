// The error of a script at its line: a mark beside the line number, and the message below the line.

import { Decoration, EditorView, GutterMarker, RangeSet, StateEffect, StateField, WidgetType, gutterLineClass } from "./codemirror.js";

/** Sets the error: {line, message}, or null for none. */
export const setError = StateEffect.define();

class Message extends WidgetType {
  constructor(text) {
    super();
    this.text = text;
  }

  eq(other) {
    return this.text === other.text;
  }

  toDOM() {
    const element = document.createElement("div");
    element.className = "cm-error-message";
    element.textContent = this.text;
    return element;
  }
}

const lineMark = new (class extends GutterMarker {
  elementClass = "cm-error-mark";
})();
const errorLine = Decoration.line({ class: "cm-error-line" });

/** The error with the range of its line, which moves with the text and ends when the line is edited. */
export const errorField = StateField.define({
  create: () => null,

  update(error, transaction) {
    if (error && transaction.docChanged) {
      const isEdited = transaction.changes.touchesRange(error.from, error.to);
      error = isEdited ? null : { ...error, from: transaction.changes.mapPos(error.from, 1), to: transaction.changes.mapPos(error.to, -1) };
    }
    for (const effect of transaction.effects) {
      if (effect.is(setError)) {
        error = effect.value && place(effect.value, transaction.state.doc);
      }
    }
    return error;
  },

  provide: (field) => [
    EditorView.decorations.from(field, (error) =>
      error
        ? Decoration.set([
            errorLine.range(error.from),
            Decoration.widget({ widget: new Message(error.message), side: 1, block: true }).range(error.to),
          ])
        : Decoration.none,
    ),
    gutterLineClass.from(field, (error) => (error ? RangeSet.of([lineMark.range(error.from)]) : RangeSet.empty)),
    EditorView.contentAttributes.from(field, (error) => ({ "aria-invalid": String(Boolean(error)) })),
  ],
});

/** The error with its range; a line that does not exist means the nearest one. */
function place({ line, message }, doc) {
  const { from, to, number } = doc.line(Math.min(Math.max(Math.trunc(line) || 1, 1), doc.lines));
  return { line: number, message, from, to };
}
