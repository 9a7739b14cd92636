"""What changes a row's logits because a request asks for it."""
