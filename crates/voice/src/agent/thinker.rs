//! The brain in a task of its own, so that a slow one holds nothing up and can be told to stop.

use super::brain::{Brain, BrainError, Line, LookBack, Piece, Turn};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Pieces that may wait; a brain that is faster waits for room.
const PIECES_WAITING_MAX: usize = 32;

/// What comes of a question.
#[derive(Debug)]
pub(crate) enum Thought {
    /// A part of the answer.
    Piece(Piece),
    /// The answer is complete.
    Done,
    /// There is no (further) answer.
    Failed(BrainError),
}

enum Question {
    Turn(Turn, mpsc::Sender<Thought>),
    LookBack(Vec<Line>, oneshot::Sender<Result<LookBack, BrainError>>),
}

/// A brain at work; dropping it ends it.
pub(crate) struct Thinker {
    questions: mpsc::Sender<Question>,
    /// The answer that is awaited.
    answer: Option<mpsc::Receiver<Thought>>,
    task: JoinHandle<()>,
}

impl Drop for Thinker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Thinker {
    pub(crate) fn open(mut brain: Box<dyn Brain>) -> Self {
        let (questions, mut asked) = mpsc::channel(4);
        let task = tokio::spawn(async move {
            while let Some(question) = asked.recv().await {
                match question {
                    Question::Turn(turn, out) => answer(&mut *brain, turn, &out).await,
                    Question::LookBack(lines, reply) => {
                        let _ = reply.send(brain.look_back(&lines).await);
                    }
                }
            }
        });
        Self {
            questions,
            answer: None,
            task,
        }
    }

    /// Asks; an answer that is still awaited is given up. Returns whether the brain can still be asked.
    pub(crate) fn ask(&mut self, turn: Turn) -> bool {
        let (sender, answer) = mpsc::channel(PIECES_WAITING_MAX);
        self.answer = Some(answer);
        self.questions.try_send(Question::Turn(turn, sender)).is_ok()
    }

    /// Gives up on the answer: the brain's work is dropped.
    pub(crate) fn cancel(&mut self) {
        self.answer = None;
    }

    /// The next part of the answer that is awaited; never while none is.
    pub(crate) async fn next(&mut self) -> Thought {
        let Some(answer) = self.answer.as_mut() else {
            return std::future::pending().await;
        };
        let thought = match answer.recv().await {
            Some(thought) => thought,
            // A panic in the brain ends its task, and the channel with it.
            None => Thought::Failed(BrainError::Broken("it stopped without an answer".to_owned())),
        };
        if !matches!(thought, Thought::Piece(_)) {
            self.answer = None;
        }
        thought
    }

    /// Has the brain look back.
    pub(crate) async fn look_back(&mut self, lines: Vec<Line>) -> Option<LookBack> {
        self.cancel();
        let (reply, answer) = oneshot::channel();
        self.questions.send(Question::LookBack(lines, reply)).await.ok()?;
        match answer.await {
            Ok(Ok(look_back)) => Some(look_back),
            Ok(Err(error)) => {
                tracing::warn!(%error, "there is no look back on a conversation");
                None
            }
            Err(_) => None,
        }
    }
}

/// Answers until the answer is complete or nobody waits for it any more.
async fn answer(brain: &mut dyn Brain, turn: Turn, out: &mpsc::Sender<Thought>) {
    let (sender, mut pieces) = mpsc::channel(PIECES_WAITING_MAX);
    let end = {
        let answering = brain.answer(turn, &sender);
        tokio::pin!(answering);
        loop {
            tokio::select! {
                biased;
                () = out.closed() => return,
                Some(piece) = pieces.recv() => {
                    if out.send(Thought::Piece(piece)).await.is_err() {
                        return;
                    }
                }
                end = &mut answering => break end,
            }
        }
    };
    while let Ok(piece) = pieces.try_recv() {
        if out.send(Thought::Piece(piece)).await.is_err() {
            return;
        }
    }
    let last = match end {
        Ok(()) => Thought::Done,
        Err(error) => Thought::Failed(error),
    };
    // Whoever asked may have given up meanwhile.
    let _ = out.send(last).await;
}
