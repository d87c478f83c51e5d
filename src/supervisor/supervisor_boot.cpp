// Supervisor: from nothing to serving. Parts are made in the order in which they need each other, then get
// back what a predecessor left; only when the last of them is there, what it left is gone on with.

#include <fmt/format.h>

#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdio>

#include "supervisor/declaration_json.h"
#include "supervisor/requests.h"
#include "supervisor/sockets.h"
#include "supervisor/supervisor.h"
#include "sys/memory.h"

namespace gpcsup::supervisor {

using grouping::GroupId;

base::Result<> Supervisor::boot() {
    using Step = base::Result<> (Supervisor::*)();
    constexpr Step steps[] = {
        &Supervisor::receive_kept,      &Supervisor::open_journal,      &Supervisor::open_configuration,
        &Supervisor::open_forest,       &Supervisor::open_enforcement,  &Supervisor::open_services,
        &Supervisor::open_placement,    &Supervisor::open_group_parts,  &Supervisor::restore_groups,
        &Supervisor::restore_processes, &Supervisor::watch_enforcement, &Supervisor::open_sockets,
        &Supervisor::watch_sockets,
    };
    for (const Step step : steps) {
        if (auto done = (this->*step)(); !done) {
            return done;
        }
    }
    take_up();
    if (auto told = keeper_.send(wire::KeepVerb::ready); !told) {
        return told;
    }
    serve();
    return {};
}

base::Result<> Supervisor::receive_kept() {
    // Before thousands of descriptors arrive; without it every start is merely slower.
    if (auto lane = launch::DescriptorLane::open()) {
        lane_.emplace(std::move(*lane));
    }
    return keeper_.receive_all();
}

base::Result<> Supervisor::open_journal() {
    base::Fd kept = keeper_.take(wire::KeepClass::journal);
    const bool adopted = static_cast<bool>(kept);
    auto journal = adopted ? journal::Journal::adopt(std::move(kept)) : journal::Journal::create();
    if (!journal) {
        return base::pass(journal);
    }
    if (!adopted) {
        if (auto done = keeper_.keep(wire::KeepClass::journal, 0, "journal", journal->descriptor()); !done) {
            return done;
        }
    } else if (auto states = journal::fold(*journal)) {
        recorded_ = std::move(*states);
    }
    const std::uint64_t leftover = journal->leftover();
    chronicle_ = std::make_unique<Chronicle>(std::move(*journal), keeper_);
    if (leftover != 0) {
        chronicle_->note("journal-cut", {{"bytes", leftover}});
    }
    return {};
}

base::Result<> Supervisor::open_configuration() {
    const bool fresh = is_fresh();
    auto loaded = fresh ? Configuration::load(here_) : Configuration::restore(recorded_);
    if (!loaded && !fresh) {
        tell_lost("configuration", loaded.error());
        loaded = Configuration::load(here_);
    }
    if (!loaded) {
        return base::pass(loaded);
    }
    configuration_ = std::move(*loaded);
    if (fresh) {
        for (const std::string& problem : configuration_.problems()) {
            fmt::print(stderr, "gpcsupd: {}\n", problem);
        }
        configuration_.record(*chronicle_);
    }
    chronicle_->add_rewriter([this](Chronicle& chronicle) {
        for (const std::string_view name : engine_->names()) {
            if (engine_->find(name)->origin == units::Origin::file && name != units::default_target) {
                chronicle.state("", "declared/" + std::string(name), to_json(*engine_->declaration(name)));
            }
        }
        configuration_.record_tree(chronicle);
    });
    return {};
}

base::Result<> Supervisor::open_forest() {
    census_ = std::make_unique<Census>(*loop_, keeper_, forest_, static_cast<CensusNews&>(*this));
    past_limits_ = std::make_unique<PastLimits>(*chronicle_);
    past_limits_->restore(recorded_);
    notes_ = std::make_unique<GroupNotes>(*chronicle_);
    host_ = std::make_unique<MachineHost>(*loop_, forest_, *census_, threads_, *past_limits_, *notes_,
                                          here_.program(wire::reader_program));
    online_ = host_->online_cpus();
    online_nodes_ = host_->online_nodes();
    controllers_ = std::make_unique<controllers::ControllerSet>(forest_, *host_);
    thread_places_ = std::make_unique<ThreadPlaces>(
        ThreadPlaces::Parts{forest_, *census_, *controllers_, threads_, *chronicle_});
    groups_ = std::make_unique<Groups>(forest_, *controllers_, *chronicle_);
    rules_.take(configuration_.rules());
    placing_ = std::make_unique<Placing>(forest_, *groups_, rules_, *chronicle_);
    placing_->restore(recorded_);
    groups_->restore_forest(recorded_);
    notes_->restore(recorded_, forest_);
    groups_->on_hierarchy_created([this](grouping::HierarchyId hierarchy) {
        census_->table().for_each([hierarchy](processes::Process& process) {
            process.placed_by[hierarchy.value] = grouping::placed_by_nobody;
        });
    });
    if (is_fresh()) {  // what is in a table without its journal are members of other groups
        (void)keeper_.take(wire::KeepClass::process_table);
    }
    if (auto opened = census_->open(here_.init_pid); !opened) {
        return opened;
    }
    if (const auto& lost = census_->lost_table()) {
        tell_lost("the process table", *lost);
    }
    thread_places_->restore(recorded_);
    return {};
}

// What another version has left goes on as what /proc shows.
void Supervisor::tell_lost(std::string_view what, const base::Error& why) {
    fmt::print(stderr, "gpcsupd: {}\n", why.message());
    chronicle_->note("state-lost", {{"what", what}, {"reason", why.message()}});
}

base::Result<> Supervisor::open_enforcement() {
    files_ = std::make_unique<FileService>(*loop_, *census_, forest_, [this] { host_->look_at_files(); });
    if (auto opened = files_->open(); !opened) {
        return opened;
    }
    host_->set_files(*files_);
    page_moves_ = std::make_unique<PageMoves>(*loop_, *census_, forest_, *chronicle_,
                                              here_.program(wire::reader_program));
    if (auto opened = page_moves_->open(); !opened) {
        return opened;
    }
    host_->set_page_moves(*page_moves_);
    enforcer_ = std::make_unique<Enforcer>(*loop_, keeper_, *census_, forest_, *chronicle_, *files_);
    host_->set_enforcer(*enforcer_);
    if (auto opened = enforcer_->open(); !opened) {
        return opened;
    }
    if (const auto& lost = enforcer_->lost_table()) {
        tell_lost("the enforcement table", *lost);
    }
    return {};
}

base::Result<std::unique_ptr<launch::StartSlots>> Supervisor::open_slots() {
    if (base::Fd kept = keeper_.take(wire::KeepClass::start_slots)) {
        auto adopted = launch::StartSlots::adopt(std::move(kept));
        if (adopted || adopted.error().code != EPROTO) {
            return adopted;
        }
        tell_lost("the start slots", adopted.error());
    }
    auto slots = launch::StartSlots::create();
    if (!slots) {
        return slots;
    }
    if (auto kept = keeper_.keep(wire::KeepClass::start_slots, 0, "start slots", (*slots)->descriptor());
        !kept) {
        return base::pass(kept);
    }
    return slots;
}

base::Result<> Supervisor::open_services() {
    auto slots = open_slots();
    if (!slots) {
        return base::pass(slots);
    }
    chronicle_->go_on_behind(enforcer_->highest_listener());
    for (const auto& owned : (*slots)->scan()) {
        chronicle_->go_on_behind(owned.intent);
    }
    engine_ = std::make_unique<units::Engine>(configuration_.take_graph());
    kills_ = std::make_unique<Kills>(*loop_, *census_, forest_, *chronicle_);
    services_ = std::make_unique<Services>(
        Services::Parts{here_, *loop_, keeper_, *census_, *enforcer_, forest_, *groups_, *controllers_,
                        *placing_, *chronicle_, *engine_, *kills_, lane_ ? &*lane_ : nullptr},
        std::move(*slots));
    jobs_ = std::make_unique<Jobs>(*chronicle_, *services_);
    services_->set_jobs(*jobs_);
    if (auto opened = services_->open(); !opened) {
        return opened;
    }
    grafts_ = std::make_unique<Grafts>(
        Grafts::Parts{here_, *loop_, *census_, *enforcer_, forest_, *controllers_, *chronicle_,
                      services_->slots(), lane_ ? &*lane_ : nullptr, services_->handover()},
        [this](const processes::Process& process) { return services_->is_filtered(process); });
    services_->set_later_filters(*grafts_);
    return grafts_->open();
}

base::Result<> Supervisor::open_placement() {
    population_ = std::make_unique<controllers::TablePopulation>(
        forest_, census_->table(), threads_,
        [this](processes::Process& process) { census_->ledger().before_move(process); },
        [this](processes::Process& process) { freezing_->moved(process); });
    population_->on_thread_moved([this](const base::ThreadId& thread) { thread_places_->moved(thread); });
    classifier_ = std::make_unique<Classifier>(
        Classifier::Parts{rules_, *loop_, *census_, forest_, *groups_, *placing_, *population_, *enforcer_,
                          *services_, *grafts_, *chronicle_, here_.program(wire::exec_program)});
    if (auto opened = classifier_->open(); !opened) {
        return opened;
    }
    applying_ = std::make_unique<Applying>(Applying::Parts{
        here_, configuration_, forest_, *controllers_, *groups_, rules_, *engine_, *services_, *chronicle_});
    applying_->adopt(recorded_);
    views_ = std::make_unique<Views>(Views::Sources{here_, *engine_, forest_, *controllers_, census_->table(),
                                                    threads_, census_->files(), *placing_, *chronicle_,
                                                    rules_, static_cast<LiveFacts&>(*this)});
    return {};
}

// Groups, what is set on them, and what is to become of them.
base::Result<> Supervisor::restore_groups() {
    removals_ = std::make_unique<Removals>(
        *loop_, forest_, *groups_, [this](GroupId group) { kills_->start(group, std::chrono::seconds(9)); });
    if (auto opened = removals_->open(); !opened) {
        return opened;
    }
    groups_->on_change([this] { groups_changed_ = true; });
    groups_->on_set([this](GroupId group) { grafts_->limits_set(group); });
    host_->on_hold_dropped([this] { groups_changed_ = true; });
    forest_.set_member_lister([this](GroupId group, std::size_t most) {
        std::vector<int> pids;
        census_->table().for_each_member_below(group, [&](processes::Process& process) {
            if (pids.size() < most) {
                pids.push_back(process.pid);
            }
        });
        return pids;
    });
    forest_.set_thread_lister([this](GroupId group, std::size_t most) {
        std::vector<std::string> names;
        for (const base::ThreadId& thread : threads_.members_below(group)) {
            if (names.size() < most) {
                names.push_back(fmt::format("{} of process {}", thread.tid, thread.process.pid));
            }
        }
        return names;
    });
    if (auto settings = groups_->restore_settings(recorded_); !settings) {
        return settings;
    }
    if (is_fresh()) {
        applying_->declare();
    }
    return {};
}

base::Result<> Supervisor::restore_processes() {
    jobs_->restore(recorded_);
    services_->restore_units(recorded_);
    grafts_->restore(recorded_);
    services_->adopt_starts();
    // What was told meanwhile comes first: it knows the parents of those whom the comparison would find
    // orphaned.
    census_->drain_tracker();
    census_->fold_exits();
    if (auto done = census_->resync(); !done) {
        return done;
    }
    groups_->settle_placements(recorded_, *population_);
    services_->place_domains();
    grafts_->resume();
    classifier_->resume();
    enforcer_->retire_unclaimed();
    return census_->watch();
}

base::Result<> Supervisor::watch_enforcement() {
    const auto list_of = [this](const processes::Process& target, pid_t tid, std::string_view controller,
                                std::string_view attribute) -> std::optional<base::CpuList> {
        const grouping::Hierarchy* hierarchy = forest_.find_hierarchy(controller);
        if (hierarchy == nullptr) {
            return std::nullopt;
        }
        const auto thread = threads_.find(target.id(), tid);
        const GroupId own = thread ? (*threads_.find(*thread))[hierarchy->id.value] : GroupId{};
        const GroupId place = own.value != 0 ? own : census_->table().place(target, hierarchy->id);
        auto value = controllers_->get(place, attribute);
        if (!value || !std::holds_alternative<std::string>(*value)) {
            return std::nullopt;
        }
        auto list = base::parse_cpu_list(std::get<std::string>(*value));
        return list ? std::optional(std::move(*list)) : std::nullopt;
    };
    const auto cpus = [this, list_of](const processes::Process& target, pid_t tid) {
        return list_of(target, tid, "cpuset", "cpuset.effective_cpus").value_or(host_->online_cpus());
    };
    const auto granted = [this](const base::ThreadId& target, const base::CpuList& asked,
                                const base::CpuList& given) {
        controllers_->affinity_asked(target, asked, given);
    };
    const auto nodes = [this, list_of](const processes::Process& target, pid_t tid) {
        base::CpuList machine = host_->online_nodes();
        return launch::PolicyRules::Nodes{
            list_of(target, tid, "memset", "memset.effective_mems").value_or(machine), machine};
    };
    return enforcer_->watch(here_.program(wire::reader_program), cpus, granted, nodes);
}

base::Result<> Supervisor::open_sockets() {
    control_socket_ = keeper_.take(wire::KeepClass::control_socket);
    if (!control_socket_) {
        auto made = listen_for_control(here_.runtime);
        if (!made) {
            return base::pass(made);
        }
        control_socket_ = std::move(*made);
        if (auto kept = keeper_.keep(wire::KeepClass::control_socket, 0, "control", control_socket_.get());
            !kept) {
            return kept;
        }
    }
    notify_socket_ = keeper_.take(wire::KeepClass::notify_socket);
    if (!notify_socket_) {
        auto made = listen_for_notify(here_.runtime);
        if (!made) {
            return base::pass(made);
        }
        notify_socket_ = std::move(*made);
        if (auto prepared = launch::prepare_notify_socket(notify_socket_.get()); !prepared) {
            return prepared;
        }
        return keeper_.keep(wire::KeepClass::notify_socket, 0, "notify", notify_socket_.get());
    }
    return {};
}

base::Result<> Supervisor::watch_sockets() {
    auto notify = loop_->on_readable(notify_socket_.get(), EventLoop::Priority::processes,
                                     [this] { services_->receive_notifications(notify_socket_.get()); });
    auto keeper =
        loop_->on_readable(keeper_.descriptor(), EventLoop::Priority::keeper, [this] { hear_keeper(); });
    if (!notify || !keeper) {
        return base::fail(ENOMEM, "watch", "the sockets");
    }
    notify_watch_ = std::move(*notify);
    auto tidy = loop_->on_idle([this] { tidy_groups(); });
    if (!tidy) {
        return base::pass(tidy);
    }
    tidy_watch_ = std::move(*tidy);
    keeper_watch_ = std::move(*keeper);
    auto waiting = loop_->on_time(EventLoop::Priority::keeper, [this] { hear_keeper(); });
    if (!waiting) {
        return base::pass(waiting);
    }
    keeper_waiting_ = std::move(*waiting);
    keeper_.on_waiting([this] { loop_->arm(keeper_waiting_, monotonic_now_ns()); });
    watch_hotplug();
    requests_ = std::make_unique<Requests>(*this);
    static_cast<Requests&>(*requests_).adopt_owners(recorded_);
    server_ = std::make_unique<control::Server>(loop_->handle(), control_socket_.get(), *requests_);
    chronicle_->on_event([this](const std::string& line) { server_->emit(line); });
    return server_->start();
}

// From here on things happen: what follows from it may be the end of everything, so every part is there.
void Supervisor::take_up() {
    const bool fresh = is_fresh();
    services_->on_quiet([this] {
        if (ending_) {
            end_after(*ending_);
        }
    });
    restore_started();
    if (ending_) {
        engine_->stop_all(
            units::TimePoint(std::chrono::nanoseconds(monotonic_now_ns())));  // the predecessor had begun to
    }
    kills_->restore(recorded_);  // first: what is started again after it is not meant
    services_->finish_recovery();
    recover_groups();
    applying_->resume(recorded_);
    if (fresh) {
        write_started("supervisor-started");
    } else {
        chronicle_->note("supervisor-replaced", {{"generation", here_.generation}, {"pid", getpid()}});
    }
    recorded_.clear();
}

void Supervisor::restore_started() {
    views_->set_start_time(realtime_now_ns());
    const auto found = recorded_.find("started");
    if (found == recorded_.end()) {
        return;
    }
    views_->set_start_time(found->second.realtime_ns);
    const Json body = Json::parse(found->second.body, nullptr, false);
    if (!body.is_object()) {
        return;
    }
    // The record itself is as young as the last compaction.
    if (const auto since = body.find("since_ns"); since != body.end() && since->is_number_unsigned()) {
        views_->set_start_time(since->get<std::uint64_t>());
    }
    if (const auto how = body.find("ending"); how != body.end() && how->is_number_integer()) {
        ending_ = static_cast<wire::StopHow>(how->get<int>());
    }
}

void Supervisor::write_started(std::string_view event) {
    Json body = {
        {"version", GPCSUP_VERSION}, {"init_pid", here_.init_pid}, {"since_ns", views_->start_time()}};
    if (ending_) {
        body["ending"] = static_cast<int>(*ending_);
    }
    chronicle_->state(event, "started", body);
}

void Supervisor::serve() {
    if (engine_->find(units::default_target)->wished || ending_) {
        // A predecessor has booted already.
    } else if (auto wished = engine_->wish_start(
                   units::default_target, units::TimePoint(std::chrono::nanoseconds(monotonic_now_ns())));
               !wished) {
        fmt::print(stderr, "gpcsupd: {}\n", wished.error().message());
    }
    services_->settle();
    census_->take_news();
    enforcer_->take_requests();  // what was parked while nobody was here
    if (here_.generation == 1) {
        (void)sd_notify(0, "READY=1");  // for a supervisor above us; without NOTIFY_SOCKET it does nothing
    }
    sys::give_back_memory();  // what parsing needed is not needed again
}

}  // namespace gpcsup::supervisor
