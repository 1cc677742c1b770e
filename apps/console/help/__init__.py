"""Help: the handbook, Markdown files of the apps that are rendered and searched in the console."""
