//! From received bytes to a message in the queue.

use std::rc::Rc;

use mail::{Envelope, Time};
use wire::{Input, Output};

use crate::cleaning::Origin;
use crate::content::Content;
use crate::session::Session;

impl Session {
    /// Moves a message that grows large out of memory.
    pub(crate) async fn spool(&mut self, content: &mut Content) {
        let service = Rc::clone(&self.service);
        let id = *self.id.get_or_insert_with(|| service.shard.slice.next_id(Time::now()));
        let given = self.dialogue.envelope().expect("content comes within a transaction");
        let (number, is_own) = (self.number, self.own_client.get().unwrap_or_default());
        let origin = Origin { id, given, number, is_own, user: None };
        service.cleaning.spool(&mut self.large, origin, content).await;
    }

    /// Nothing comes of a message that was on its way to a file.
    pub(crate) async fn abandon_large(&mut self) {
        self.service.cleaning.abandon(&mut self.large, self.number).await;
    }

    /// Makes the message durable, hands it to the scheduler, and tells the dialogue.
    pub(crate) async fn store(&mut self, mut envelope: Rc<Envelope>) -> Output {
        let id = self.id.expect("a message has an accepted recipient, and its id with it");
        let content = self.content.take();
        let given = Rc::clone(&envelope);
        let (number, is_own) = (self.number, self.own_client.get().unwrap_or_default());
        let origin = Origin { id, given: &given, number, is_own, user: None };
        let cleaning = &self.service.cleaning;
        let stored = cleaning.store(origin, &mut envelope, content, &mut self.large).await;
        // Where it was thrown away, the client is told the same as ever (postfix `cleanup_api.c`).
        let result = stored.map(|_| id);
        self.step(Input::Committed { result, envelope: &envelope })
    }
}
