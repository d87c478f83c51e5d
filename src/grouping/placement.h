#pragma once
// Placement: processes move to other groups of one or several hierarchies as one transaction. Everybody who
// has a say is asked first (can_attach); then all move, or none does. Pure: who is a member, what a move does
// to the machine and where intents are written is behind the three interfaces here. No controller is named.
//
// A thread may be moved apart from its process. A process that is moved takes home those of its threads that
// are apart in the hierarchies it is moved in, as part of the same transaction.
//
// Crash-only: the intent (each process with the places it leaves and those it gets) is written before
// anything changes; after everything has, the commit takes it away. A successor that finds an intent calls
// settle(…), which is idempotent.

#include <optional>
#include <span>
#include <vector>

#include "base/process_id.h"
#include "base/result.h"
#include "grouping/forest.h"

namespace gpcsup::grouping {

struct Transfer {  // one process, or one thread of it, in one hierarchy
    base::ProcessId process;
    GroupId from;
    GroupId to;
    std::optional<base::ThreadId> thread = std::nullopt;
};

// One process, or one thread of it, in all hierarchies: what an intent records. A thread's names only the
// hierarchies in which it moves, or stays in a group to which its process comes.
struct Relocation {
    base::ProcessId process;
    Places from{};
    Places to{};
    std::optional<base::ThreadId> thread = std::nullopt;
};

// Who has a say in moves within a hierarchy, and who carries them out.
class Participant {
  public:
    virtual ~Participant() = default;
    // Each call concerns one hierarchy. What an agreement reserved ends with attach, whatever it returns, or
    // cancel_attach.
    virtual base::Result<> can_attach(HierarchyId hierarchy, std::span<const Transfer> transfers) = 0;
    virtual void cancel_attach(HierarchyId hierarchy, std::span<const Transfer> transfers) = 0;
    // Idempotent, and `from` may be a group that has been removed since: also used, with from and to
    // exchanged, to take a move back. A process that is gone meanwhile is no failure.
    virtual base::Result<> attach(HierarchyId hierarchy, std::span<const Transfer> transfers) = 0;
};

// Who knows which process is where.
class Population {
  public:
    virtual ~Population() = default;
    virtual std::optional<Places> places(base::ProcessId process) = 0;     // nothing when it is gone
    virtual void move(base::ProcessId process, const Places& places) = 0;  // no effect when it is gone
    // The same of a thread: where it is apart its own group, else its process's. Moved to a group that its
    // process is in it is apart there no more; GroupId{0} leaves it as it is.
    virtual std::optional<Places> places(const base::ThreadId& thread) = 0;
    virtual void move(const base::ThreadId& thread, const Places& places) = 0;
    virtual std::vector<base::ThreadId> threads_apart(base::ProcessId process) = 0;
};

// Where intents are written. Each returns when the record is safe from a crash of this program.
class PlacementLog {
  public:
    virtual ~PlacementLog() = default;
    virtual base::Result<std::uint64_t> intend(
        std::span<const Relocation> relocations) = 0;  // a number for the others
    virtual base::Result<> commit(std::uint64_t intent) = 0;
    virtual void abandon(std::uint64_t intent) = 0;  // everything is as it was before
};

enum class Vanished {
    refuse,  // a process that is gone makes the transaction fail: the caller named it
    skip,    // it is left out: a sweep named it
};

struct PlacementRequest {
    std::vector<base::ProcessId> processes;
    std::vector<GroupId> groups;  // at most one a hierarchy; the other hierarchies stay as they are
    Vanished vanished = Vanished::refuse;
    std::vector<base::ThreadId> threads = {};  // each by itself
};

struct Refusal {  // one item that is in the way
    std::optional<base::ProcessId> process;
    GroupId group;
    base::Error error;
    std::optional<base::ThreadId> thread = std::nullopt;
};

struct PlacementOutcome {
    std::vector<Relocation> moved;                // empty when refused, or when all were there already
    std::vector<Refusal> refusals;                // empty = done
    [[nodiscard]] base::Result<> result() const;  // the first refusal's sentence, and how many more there are
};

// Every participant is asked about every hierarchy in which something moves, in the order given; each refusal
// is reported, not only the first, and by process wherever a participant that refused many refuses one alone.
[[nodiscard]] PlacementOutcome place(const Forest& forest, std::span<Participant* const> participants,
                                     Population& population, PlacementLog& log,
                                     const PlacementRequest& request);

// What a successor does with an intent it found: everybody goes back. Groups that are gone count as the roots
// of their hierarchies. Goes on after a failure and returns all of them.
[[nodiscard]] std::vector<Refusal> settle(const Forest& forest, std::span<Participant* const> participants,
                                          Population& population, std::span<const Relocation> relocations);

}  // namespace gpcsup::grouping
