"""Where the images come from: folders, lists, archives."""
