/* The life of heaps: threads start, allocate, free each other's blocks, end; heaps are parked,
 * adopted, scavenged; a fork happens at any moment.
 *
 * Each inline step carries the name of the function of core/ that it stands for. A step is atomic
 * where the code is: one operation on the inbox word, or what the directory's lock guards. The
 * processes that free without a heap, or fork, see nothing between their steps, so they have one.
 *
 * covers: A3 F1 R1 R2
 * states: threads start, end, adopt, scavenge, free to each other and fork: one user of a heap, no block lost, all come back
 * Safety:   one thread at a time works on a heap; no block is lost or doubled; who forks sees every
 *           parked heap without a user.
 * Liveness: what was freed is free for its owner in the end, also when the owner is parked, as long
 *           as some thread needs memory now and then (it scavenges).
 *
 * seeded safety: TWO_ADOPTERS PARKED_TOO_EARLY TORN_TAKE_ALL FORK_WITHOUT_LOCK
 * seeded liveness: OUTBOX_KEPT_AT_EXIT MAIL_IGNORED
 */
#ifndef BLOCKS
#define BLOCKS 6
#endif
#ifndef FREERS
#define FREERS 4
#endif
#define HEAPS 2
#ifndef LIVES
#define LIVES 1 /* of the first thread; the second has one */
#endif
#define kNobody 255
#define kNoHeap 255

/* Where a block is. */
#define kFree 0    /* in its slab */
#define kHeld 1    /* with a client */
#define kOutbox 2  /* in an outbox, or on the way into an inbox */
#define kInbox 3
#define kDrained 4 /* in the hands of the thread that drains */
byte where[8];
byte sender[8];      /* whose outbox */
byte allocated[8];   /* times, bounded so that the search ends */

#define home(block) (block % HEAPS)

bit made[HEAPS];
bit parked[HEAPS];
byte user[HEAPS];         /* ghost: the thread that works on it */

#define begin_use(heap) assert(user[heap] == kNobody); user[heap] = _pid
#define end_use(heap) assert(user[heap] == _pid); user[heap] = kNobody

/* Outbox::put: the block waits at the thread that freed it. */
inline put(block) { assert(where[block] == kHeld); where[block] = kOutbox; sender[block] = _pid }

/* RemoteQueue::push: one compare-and-swap for all blocks of this sender. */
inline push() {
  b = 0;
  do
  :: b < BLOCKS -> if :: where[b] == kOutbox && sender[b] == _pid -> where[b] = kInbox; sender[b] = 0 :: else fi; b++
  :: else -> break
  od;
  b = 0
}
inline flush_all() { d_step { push() } }

/* RemoteQueue::take_all: one exchange. */
inline take_all(heap) {
#ifdef TORN_TAKE_ALL
  d_step {                                     /* a load, then a store: what came between is gone */
    b = 0; mask = 0;
    do :: b < BLOCKS -> if :: where[b] == kInbox && home(b) == heap -> mask = mask | (1 << b) :: else fi; b++ :: else -> break od
  };
  d_step {
    b = 0;
    do
    :: b < BLOCKS -> if :: where[b] == kInbox && home(b) == heap -> assert(mask & (1 << b)); where[b] = kDrained :: else fi; b++
    :: else -> break
    od;
    b = 0; mask = 0
  }
#else
  d_step {
    b = 0;
    do
    :: b < BLOCKS -> if :: where[b] == kInbox && home(b) == heap -> where[b] = kDrained :: else fi; b++
    :: else -> break
    od;
    b = 0
  }
#endif
}

/* Heap::drain_inbox: each block onto its slab's list. */
inline drain_inbox(heap) {
  take_all(heap);
  d_step {
    assert(user[heap] == _pid);
    b = 0;
    do
    :: b < BLOCKS -> if :: where[b] == kDrained && home(b) == heap -> where[b] = kFree :: else fi; b++
    :: else -> break
    od;
    b = 0
  }
}

inline tidy(heap) {
#ifdef OUTBOX_KEPT_AT_EXIT
  skip;
#else
  flush_all();
#endif
  drain_inbox(heap)
}

/* HeapDirectory::attach: adopt a parked heap, else make one. */
inline attach(heap) {
  d_step {
    if
    :: parked[0] -> heap = 0
    :: !parked[0] && parked[1] -> heap = 1
    :: !parked[0] && !parked[1] && !made[0] -> heap = 0
    :: !parked[0] && !parked[1] && made[0] && !made[1] -> heap = 1
    :: else -> heap = kNoHeap
    fi;
    if
    :: heap != kNoHeap -> 
       made[heap] = 1;
#ifndef TWO_ADOPTERS
       parked[heap] = 0; begin_use(heap)
#endif
    :: else
    fi
  }
#ifdef TWO_ADOPTERS
  ;
  if :: heap != kNoHeap -> d_step { parked[heap] = 0; begin_use(heap) } :: else fi
#endif
}

/* HeapDirectory::park */
inline park(heap) {
#ifdef PARKED_TOO_EARLY
  d_step { parked[heap] = 1 };
  tidy(heap);
  end_use(heap)
#else
  tidy(heap);
#ifdef FORK_WITHOUT_LOCK
  parked[heap] = 1;
  end_use(heap)
#else
  d_step { assert(!parked[heap]); parked[heap] = 1; end_use(heap) }
#endif
#endif
}

/* HeapDirectory::take_parked_with_mail */
inline take_parked_with_mail(heap) {
  d_step {
    b = 0; heap = kNoHeap;
#ifndef MAIL_IGNORED
    do
    :: b < BLOCKS && heap == kNoHeap -> if :: where[b] == kInbox && parked[home(b)] -> heap = home(b) :: else fi; b++
    :: else -> break
    od;
#endif
    b = 0;
    if :: heap != kNoHeap -> parked[heap] = 0; begin_use(heap) :: else fi
  }
}

/* HeapDirectory::scavenge, one heap of it */
inline scavenge(heap) {
  take_parked_with_mail(heap);
  if
  :: heap != kNoHeap ->
     tidy(heap);
     d_step { parked[heap] = 1; end_use(heap) }
  :: else
  fi;
  heap = kNoHeap
}

/* Heap::allocate: any free block of the heap, bounded in number. */
inline allocate(heap) {
  d_step {
    b = 0;
    do
    :: b < BLOCKS && !(where[b] == kFree && home(b) == heap && allocated[b] < 1) -> b++
    :: else -> break
    od;
    if :: b < BLOCKS -> assert(user[heap] == _pid); where[b] = kHeld; allocated[b]++ :: else fi;
    b = 0
  }
}

/* Heap::release: a block of one's own, or one that travels. */
inline release(heap, block) {
  d_step {
    if
    :: where[block] == kHeld && home(block) == heap -> assert(user[heap] == _pid); where[block] = kFree
    :: where[block] == kHeld && home(block) != heap -> put(block)
    :: else
    fi
  }
}

/* A sequence of threads: each starts, allocates, may free the first block of each heap, and ends. */
proctype Thread(byte lives) {
  byte heap = kNoHeap, b = 0, mask = 0;
  do
  :: lives > 0 ->
     attach(heap);
     if
     :: heap != kNoHeap ->
        atomic { allocate(heap); allocate(heap); allocate(heap) };  /* nobody else sees these */
        if :: release(heap, 0); release(heap, 1) :: skip fi;
        park(heap)
     :: else
     fi;
     heap = kNoHeap; lives--
  :: else -> break
  od
}

/* Frees without a heap of its own: straight into the owner's inbox, in one step, as nobody else sees
 * the block before. The freers are alike: number n frees the blocks n and n + FREERS. */
proctype Freer(byte n) {
  byte heap = kNoHeap, b = 0;
end:
  do
  :: d_step { where[n] == kHeld -> put(n); push() }
  :: n + FREERS < BLOCKS && where[n + FREERS] == kHeld -> d_step { if :: where[n + FREERS] == kHeld -> put(n + FREERS); push() :: else fi }
  od
}

#define mail (where[0] == kInbox || where[1] == kInbox || where[2] == kInbox || \
              where[3] == kInbox || where[4] == kInbox || where[5] == kInbox)

/* Needs memory now and then. */
proctype Scavenger() {
  byte heap = kNoHeap, b = 0, mask = 0;
end:
  do
  :: (mail) ->
     scavenge(heap)
  od
}

/* Allocator::before_fork takes the directory's lock, so the copy has no heap half handed over. */
inline before_fork() {
  d_step {
    assert(!parked[0] || user[0] == kNobody);
    assert(!parked[1] || user[1] == kNobody);
    assert(!made[0] || parked[0] || user[0] != kNobody);
    assert(!made[1] || parked[1] || user[1] != kNobody)
  }
}
proctype Forker() { before_fork() }

init {
  byte i = 0;
  atomic {
    do :: i < HEAPS -> user[i] = kNobody; i++ :: else -> break od;
    i = 0;
    run Thread(LIVES);
    run Thread(1);
    do :: i < FREERS -> run Freer(i); i++ :: else -> break od;
    i = 0;
    run Scavenger();
    run Forker()
  }
}

ltl comes_back { [] ((where[0] == kOutbox || where[0] == kInbox) -> <> (where[0] == kFree)) }
