/* Opens Swagger UI on our description, in the colours that the console uses. A token that is entered lives as long as the page. */
"use strict";

(() => {
  const reference = document.getElementById("reference");
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = localStorage.getItem("theme");
  const paint = () => {
    const isDark = chosen === "dark" || (chosen !== "light" && prefersDark.matches);
    document.documentElement.classList.toggle("dark-mode", isDark);
  };
  paint();
  prefersDark.addEventListener("change", paint);

  window.SwaggerUIBundle({
    url: reference.dataset.schema,
    domNode: reference,
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    persistAuthorization: false,
    tryItOutEnabled: true,
    validatorUrl: null,
  });
})();
