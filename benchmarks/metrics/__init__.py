"""What the figures of this project are beside those of other libraries, for the same lists."""
