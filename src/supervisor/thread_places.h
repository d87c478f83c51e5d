#pragma once
// The book of threads apart (processes/threads_apart.h), kept: written into the journal for a successor, and
// cleared of threads that are apart no more, because they have ended or their process has executed another
// program. It moves nobody: that is the placement's.
//
// Where the tracker tells of threads, an end is heard of at once; else each sweep looks at those in the book,
// which are few.

#include "controllers/dispatcher.h"
#include "journal/journal.h"
#include "processes/threads_apart.h"
#include "supervisor/census.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

class ThreadPlaces {
  public:
    struct Parts {
        const grouping::Forest& forest;
        Census& census;
        controllers::ControllerSet& controllers;
        processes::ThreadsApart& book;
        Chronicle& chronicle;
    };
    explicit ThreadPlaces(const Parts& parts);

    // After the forest and the table of processes. Threads that have gone meanwhile are found by look().
    void restore(const journal::States& states);
    void moved(const base::ThreadId& thread);  // the book has it otherwise now, or no more

    // News of processes, for those that have a thread apart.
    void thread_started(const processes::Process& process, pid_t tid);  // 0: not told which
    void thread_ended(const processes::Process& process, pid_t tid);
    void executed(const processes::Process& process);  // one thread is left, with the process's own groups
    void exited(const processes::Process& process);
    void look();  // at each, whether it is still there

  private:
    void forget(const base::ThreadId& thread);
    void review_main_thread(const processes::Process& process);

    Parts parts_;
};

}  // namespace gpcsup::supervisor
