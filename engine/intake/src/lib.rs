//! The SMTP server's shell: moves bytes between the ring, the dialogue and the queue.
