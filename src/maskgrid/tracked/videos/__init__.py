"""Videos as files or folders of frames: listed, examined, and read frame by frame."""
