"""What a request holds, and what is answered."""
