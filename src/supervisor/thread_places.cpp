#include "supervisor/thread_places.h"

#include <fmt/format.h>

#include "supervisor/records.h"

namespace gpcsup::supervisor {

using base::ThreadId;
using grouping::GroupId;
using grouping::Places;

namespace {

constexpr std::string_view prefix = "thread/";

std::string key_of(const ThreadId& thread) {
    return fmt::format("{}{}-{}", prefix, thread.tid, thread.start_time);
}

Json record_of(const ThreadId& thread, const Places& own) {
    Json groups = Json::array();
    for (std::size_t slot = 0; slot < own.size(); ++slot) {
        if (own[slot].value != 0) {
            groups.push_back({slot, own[slot].value});
        }
    }
    return {{"pid", thread.process.pid},
            {"start", thread.process.start_time},
            {"tid", thread.tid},
            {"thread_start", thread.start_time},
            {"groups", std::move(groups)}};
}

// What is gone by now is left out.
Places places_of(const Json& record, const grouping::Forest& forest) {
    Places own{};
    for (const Json& one : record.at("groups")) {
        const auto slot = one.at(0).get<std::size_t>();
        const GroupId id{one.at(1).get<std::uint32_t>()};
        const grouping::Group* group = forest.group(id);
        if (group != nullptr && !group->dying && group->hierarchy.value == slot) {
            own.at(slot) = id;
        }
    }
    return own;
}

}  // namespace

ThreadPlaces::ThreadPlaces(const Parts& parts) : parts_(parts) {
    parts_.chronicle.add_rewriter([this](Chronicle& chronicle) {
        for (const auto& [thread, own] : parts_.book.all()) {
            chronicle.state("", key_of(thread), record_of(thread, own));
        }
    });
}

// A thread whose process is gone is put into the book first: its group has emptied, and somebody may wait for
// that.
void ThreadPlaces::restore(const journal::States& states) {
    each_record(states, prefix, parts_.chronicle, [this](const std::string&, const Json& body) {
        const ThreadId thread{{body.at("pid").get<pid_t>(), body.at("start").get<std::uint64_t>()},
                              body.at("tid").get<pid_t>(),
                              body.at("thread_start").get<std::uint64_t>()};
        parts_.book.place(thread, places_of(body, parts_.forest));
        const processes::Process* process = parts_.census.table().find(thread.process);
        const bool gone = process == nullptr || process->has(processes::process_dead);
        if (gone || parts_.book.find(thread) == nullptr) {
            forget(thread);
        }
    });
}

void ThreadPlaces::moved(const ThreadId& thread) {
    if (const Places* own = parts_.book.find(thread)) {
        parts_.chronicle.state("", key_of(thread), record_of(thread, *own));
    } else {
        parts_.chronicle.erase("", key_of(thread));
    }
}

void ThreadPlaces::forget(const ThreadId& thread) {
    parts_.book.forget(thread);
    moved(thread);
}

void ThreadPlaces::thread_started(const processes::Process& process, pid_t tid) {
    if (parts_.book.empty() || parts_.book.of(process.id()).empty()) {
        return;
    }
    if (tid == 0) {
        parts_.controllers.thread_started(process, std::nullopt);
        return;
    }
    const auto thread = sys::identify_thread(parts_.census.files(), tid);
    if (thread && thread->process == process.id() && parts_.book.find(*thread) == nullptr) {
        parts_.controllers.thread_started(process, *thread);
    }
}

void ThreadPlaces::thread_ended(const processes::Process& process, pid_t tid) {
    if (parts_.book.empty()) {
        return;
    }
    if (const auto thread = parts_.book.find(process.id(), tid)) {
        forget(*thread);
        parts_.census.lineage().flush_emptied();
    }
}

// The thread that is left may have been apart: then it has what that one had.
void ThreadPlaces::review_main_thread(const processes::Process& process) {
    parts_.controllers.thread_started(process, ThreadId{process.id(), process.pid, process.start_time});
}

void ThreadPlaces::executed(const processes::Process& process) {
    const auto threads = parts_.book.of(process.id());
    if (threads.empty()) {
        return;
    }
    review_main_thread(process);
    std::ranges::for_each(threads, [this](const ThreadId& thread) { forget(thread); });
    parts_.census.lineage().flush_emptied();
}

void ThreadPlaces::exited(const processes::Process& process) {
    for (const ThreadId& thread : parts_.book.of(process.id())) {
        forget(thread);
    }
}

// One that nobody told of may have ended in an execve, which leaves its mask to the main thread.
void ThreadPlaces::look() {
    std::vector<ThreadId> gone;
    for (const auto& [thread, own] : parts_.book.all()) {
        if (!sys::is_running(parts_.census.files(), thread)) {
            gone.push_back(thread);
        }
    }
    for (const ThreadId& thread : gone) {
        const processes::Process* process = parts_.census.table().find(thread.process);
        if (process != nullptr && !process->has(processes::process_dead)) {
            review_main_thread(*process);
        }
        forget(thread);
    }
    if (!gone.empty()) {
        parts_.census.lineage().flush_emptied();
    }
}

}  // namespace gpcsup::supervisor
