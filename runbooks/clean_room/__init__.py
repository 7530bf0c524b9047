"""The room in which people look at copies of an instance's disks, with no way out of it."""
