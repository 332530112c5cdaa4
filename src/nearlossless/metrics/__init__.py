"""How alike two pictures are, how well one follows its prompt, and what broken pipelines draw."""
