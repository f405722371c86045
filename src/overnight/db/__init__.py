"""The database as such: connections, the group-commit writer, the event stream, doorbells. Knows no tasks."""
