"""Speech, captions, slides, rendering, and measurements of media: the parts of a video (extra `studio`)."""
