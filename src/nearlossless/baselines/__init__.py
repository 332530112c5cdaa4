"""The stored expected pictures: what they are, how pictures are compared with them, how far those may move."""
