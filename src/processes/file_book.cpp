#include "processes/file_book.h"

#include <algorithm>
#include <unordered_set>

namespace gpcsup::processes {
namespace {

using grouping::GroupId;
using sys::FileOrder;

constexpr unsigned rounds =
    4;  // of looks at who is a member: each finds those that were forked during the last

}  // namespace

std::uint64_t FileBook::count(GroupId group, const std::function<void()>& settle, std::uint64_t plenty) {
    Entries entries;
    list_members(group, settle, entries);
    list_witnesses(group, entries);
    if (entries.size() < plenty) {
        return entries.size();
    }
    std::uint64_t charged = 0;
    for (const Entries& description : by_description(entries)) {
        const auto witnessed =
            std::ranges::find_if(description, [](const Entry& entry) { return entry.charged != GroupId{}; });
        if (witnessed == description.end()) {
            ++charged;
            continue;
        }
        spread(description, witnessed->charged);
        charged += forest_.is_within(witnessed->charged, group) ? 1 : 0;
    }
    return charged;
}

void FileBook::list_members(GroupId group, const std::function<void()>& settle, Entries& entries) {
    std::unordered_set<pid_t> listed;
    for (unsigned round = 0; round < rounds; ++round) {
        settle();
        std::vector<Process> fresh;
        table_.for_each_member_below(group, [&](const Process& process) {
            if (!listed.contains(process.pid)) {
                fresh.push_back(process);
            }
        });
        if (fresh.empty()) {
            return;
        }
        for (const Process& process : fresh) {
            listed.insert(process.pid);
            list_process(process, entries);
        }
    }
}

// One table a process, unless a thread has unshared its own.
void FileBook::list_process(const Process& process, Entries& entries) {
    list_table(process.pid, process.pid, entries);
    if (process.threads <= 1) {
        return;
    }
    const auto tasks = proc_.tasks(process.pid);
    if (!tasks) {
        return;
    }
    std::vector<pid_t> tables{process.pid};
    for (const pid_t task : *tasks) {
        const bool known = std::ranges::any_of(tables, [&](pid_t table) {
            return table == task || files_.compare_tables(table, task) == sys::OpenFiles::Tables::shared;
        });
        if (!known) {
            tables.push_back(task);
            list_table(process.pid, task, entries);
        }
    }
}

void FileBook::list_table(pid_t holder, pid_t task, Entries& entries) {
    const auto numbers = files_.descriptors(task);
    if (!numbers) {
        return;
    }
    for (const int number : *numbers) {
        const sys::Descriptor descriptor{task, number};
        entries.push_back({descriptor, charged_to(holder, descriptor), holder});
    }
}

GroupId FileBook::charged_to(pid_t holder, const sys::Descriptor& descriptor) {
    const auto known = witnesses_.find(holder);
    if (known == witnesses_.end() || descriptor.pid != holder) {
        return {};
    }
    const auto witness = known->second.files.find(descriptor.number);
    if (witness == known->second.files.end()) {
        return {};
    }
    if (files_.identity(descriptor) != witness->second.file) {
        known->second.files.erase(witness);
        return {};
    }
    return witness->second.group;
}

void FileBook::list_witnesses(GroupId group, Entries& entries) {
    std::set<pid_t> members;
    for (const Entry& entry : entries) {
        members.insert(entry.holder);
    }
    for (auto& [pid, holder] : witnesses_) {
        if (members.contains(pid)) {
            continue;
        }
        for (auto at = holder.files.begin(); at != holder.files.end();) {
            const auto [number, witness] = *at++;
            const sys::Descriptor descriptor{pid, number};
            if (forest_.is_within(witness.group, group) && charged_to(pid, descriptor) != GroupId{}) {
                entries.push_back({descriptor, witness.group, pid});
            }
        }
    }
}

// Sorted by insertion: a descriptor may be closed between two comparisons, which no sort of the library
// endures.
std::vector<FileBook::Entries> FileBook::by_description(const Entries& entries) {
    std::vector<Entries> sorted;
    const auto place = [&](const Entry& entry) {
        std::size_t low = 0;
        std::size_t high = sorted.size();
        while (low < high) {
            const std::size_t middle = (low + high) / 2;
            switch (files_.compare(entry.descriptor, sorted[middle].front().descriptor)) {
                case FileOrder::same:
                    sorted[middle].push_back(entry);
                    return;
                case FileOrder::before:
                    high = middle;
                    break;
                case FileOrder::after:
                    low = middle + 1;
                    break;
                case FileOrder::first_gone:
                    return;
                case FileOrder::second_gone:
                    sorted[middle].erase(sorted[middle].begin());
                    if (sorted[middle].empty()) {
                        sorted.erase(sorted.begin() + static_cast<std::ptrdiff_t>(middle));
                    }
                    low = 0;
                    high = sorted.size();
                    break;
            }
        }
        sorted.insert(sorted.begin() + static_cast<std::ptrdiff_t>(low), {entry});
    };
    std::ranges::for_each(entries, place);
    return sorted;
}

// Who else has it now: a child that was forked before the move, a process that it was passed to.
void FileBook::spread(const Entries& description, GroupId charged) {
    for (const Entry& entry : description) {
        if (entry.charged != GroupId{} || entry.descriptor.pid != entry.holder) {
            continue;
        }
        const Process* process = table_.find(entry.holder);
        const auto identity = files_.identity(entry.descriptor);
        if (process != nullptr && identity) {
            Holder& holder = witnesses_[entry.holder];
            holder.start_time = process->start_time;
            holder.files[entry.descriptor.number] = {*identity, charged};
        }
    }
}

void FileBook::leave(const Process& process, GroupId from) {
    const auto numbers = files_.descriptors(process.pid);
    if (!numbers) {
        return;
    }
    Holder& holder = witnesses_[process.pid];
    holder.start_time = process.start_time;
    for (const int number : *numbers) {
        const sys::Descriptor descriptor{process.pid, number};
        const auto identity = files_.identity(descriptor);
        if (identity && charged_to(process.pid, descriptor) == GroupId{}) {
            holder.files[number] = {*identity, from};
        }
    }
    if (holder.files.empty()) {
        witnesses_.erase(process.pid);
    }
}

void FileBook::forked(const Process& parent, const Process& child) {
    if (const auto known = witnesses_.find(parent.pid); known != witnesses_.end()) {
        Holder copy = known->second;
        copy.start_time = child.start_time;
        witnesses_[child.pid] = std::move(copy);
    }
}

void FileBook::ended(const Process& process) {
    witnesses_.erase(process.pid);
}

std::map<GroupId, std::uint64_t> FileBook::kept_open() {
    std::map<GroupId, Entries> entries;
    std::erase_if(witnesses_, [&](auto& holder) {
        auto& files = holder.second.files;
        for (auto at = files.begin(); at != files.end();) {
            const auto [number, witness] = *at++;
            const sys::Descriptor descriptor{holder.first, number};
            if (charged_to(holder.first, descriptor) != GroupId{}) {
                entries[witness.group].push_back({descriptor, witness.group, holder.first});
            }
        }
        return files.empty();
    });
    std::map<GroupId, std::uint64_t> open;
    for (const auto& [group, of_group] : entries) {
        open[group] = by_description(of_group).size();
    }
    return open;
}

}  // namespace gpcsup::processes
