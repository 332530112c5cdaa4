"""What a change of shape makes Dynamo compile."""
