"""Pictures of a task: image files, lists of them, folders of a person's own."""
