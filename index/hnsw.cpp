// An HNSW graph: hnswlib's own, reached without Python's lock, under a filter, and with vectors in eight bits.
//
// hnswlib's Python module holds the interpreter's lock while it loads, stores and marks, asks a filter through
// Python for every element, and keeps every vector in float32. Its headers do none of that. This is a thin type
// over them: what a vector looks like in the graph and how two of them compare is ours, all else is hnswlib's.
//
// It locks nothing. Searches may run beside each other and beside `save`; whatever changes the graph must run
// alone. index/graph.py sees to it.

#include "arrays.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#if !__has_include("hnswlib/hnswlib.h")
#error "hnswlib's headers are not there: make setup, or deploy/hnswlib_headers.py --constraints constraints.txt"
#endif
#include "hnswlib/hnswlib.h"

#include "distances.h"
#include "ranking.h"
#include "threads.h"

namespace {

// ---- what a vector is in the graph, and how far two are apart

// A quantised vector is its eight-bit numbers, filled up with zeros, and what follows them.
struct Scale {
    float step;    // what one of the eight-bit numbers stands for
    float square;  // the squared length of what they stand for
};

class Space : public hnswlib::SpaceInterface<float> {
  public:
    Space(size_t dim, bool is_l2, bool quantised)
        : dim_(dim), codes_((dim + CODE_STEP - 1) / CODE_STEP * CODE_STEP), is_l2_(is_l2), quantised_(quantised) {}

    size_t get_data_size() override { return quantised_ ? codes_ + sizeof(Scale) : dim_ * sizeof(float); }
    void* get_dist_func_param() override { return this; }
    hnswlib::DISTFUNC<float> get_dist_func() override {
        if (quantised_) return is_l2_ ? quantised_distance<true> : quantised_distance<false>;
        return is_l2_ ? distance<true> : distance<false>;
    }

    size_t dim() const { return dim_; }

    // The vector as the graph compares it: itself, or its codes in `room`.
    const void* encode(const float* vector, std::vector<char>& room) const {
        if (!quantised_) return vector;
        room.assign(codes_ + sizeof(Scale), 0);
        float largest = 0;
        for (size_t i = 0; i < dim_; ++i) largest = std::max(largest, std::fabs(vector[i]));
        const float step = std::max(largest / 127, std::numeric_limits<float>::min());
        auto* codes = reinterpret_cast<int8_t*>(room.data());
        for (size_t i = 0; i < dim_; ++i) codes[i] = static_cast<int8_t>(std::lrintf(vector[i] / step));
        const float square = step * step * static_cast<float>(KERNELS.multiply(codes, codes, codes_));
        const Scale scale{step, square};
        std::memcpy(room.data() + codes_, &scale, sizeof scale);
        return room.data();
    }

  private:
    Scale scale_of(const int8_t* codes) const {
        Scale scale;
        std::memcpy(&scale, codes + codes_, sizeof scale);
        return scale;
    }

    template <bool IS_L2>
    static float distance(const void* a, const void* b, const void* space) {
        const auto dim = static_cast<const Space*>(space)->dim_;
        const auto *left = static_cast<const float*>(a), *right = static_cast<const float*>(b);
        return IS_L2 ? KERNELS.square(left, right, dim) : 1 - KERNELS.dot(left, right, dim);
    }

    template <bool IS_L2>
    static float quantised_distance(const void* a, const void* b, const void* space) {
        const auto& self = *static_cast<const Space*>(space);
        const auto *left = static_cast<const int8_t*>(a), *right = static_cast<const int8_t*>(b);
        const Scale one = self.scale_of(left), other = self.scale_of(right);
        const float dot = one.step * other.step * static_cast<float>(KERNELS.multiply(left, right, self.codes_));
        return IS_L2 ? one.square + other.square - 2 * dot : 1 - dot;
    }

    size_t dim_, codes_;
    bool is_l2_, quantised_;
};

// ---- searching

// Only these labels may be found.
struct Filter : hnswlib::BaseFilterFunctor {
    const Among& among;

    explicit Filter(const Among& among) : among(among) {}

    bool operator()(hnswlib::labeltype label) override { return among.has(static_cast<int64_t>(label)); }
};

// hnswlib's own rule; and a search is given up that has compared more than `most` elements, or has kept fewer than the
// part `least` of those that it has compared, before it has kept `ef`.
class Bounded : public hnswlib::BaseSearchStopCondition<float> {
  public:
    Bounded(size_t ef, size_t most, double least) : ef_(ef), most_(most), least_(least) {}

    bool gave_up() const {
        const bool is_hopeless = compared_ >= LOOKED_AT && found_ < ef_ && found_ < least_ * compared_;
        return is_hopeless || compared_ > most_;
    }

    void add_point_to_result(hnswlib::labeltype, const void*, float) override { ++found_; }
    void remove_point_from_result(hnswlib::labeltype, const void*, float) override { --found_; }
    bool should_stop_search(float candidate, float worst) override {
        return gave_up() || (candidate > worst && found_ == ef_);
    }
    bool should_consider_candidate(float candidate, float worst) override {
        ++compared_;
        return found_ < ef_ || worst > candidate;
    }
    bool should_remove_extra() override { return found_ > ef_; }
    void filter_results(std::vector<std::pair<float, hnswlib::labeltype>>&) override {}

  private:
    static constexpr size_t LOOKED_AT = 256;  // before it is judged

    size_t ef_, most_;
    double least_;
    size_t found_ = 0, compared_ = 0;
};

class Graph {
  public:
    Graph(size_t dim, bool is_l2, bool quantised, size_t m, size_t ef_construction)
        : space_(dim, is_l2, quantised), graph_(&space_, FIRST_ROOM, m, ef_construction) {}

    const Space& space() const { return space_; }
    size_t count() const { return graph_.cur_element_count; }
    size_t deleted() const { return graph_.num_deleted_; }

    // What went in before one of the threads fails stays.
    void add(const float* vectors, const int64_t* labels, size_t rows, size_t threads) {
        const size_t needed = count() + rows;
        // Room costs 54 bytes an element before it is used: locks, levels, marks of searches.
        if (needed > graph_.max_elements_) graph_.resizeIndex(std::max(needed, graph_.max_elements_ * 9 / 8));
        std::atomic<size_t> next{0};
        share(std::min(threads, rows), [&] {
            std::vector<char> room;
            for (size_t row = next++; row < rows; row = next++)
                graph_.addPoint(space_.encode(vectors + row * space_.dim(), room), labels[row]);
        });
    }

    // Marks these labels as deleted; those that are not here, or are already, do not matter. How many it marked.
    size_t forget(const int64_t* labels, size_t rows) {
        const size_t before = deleted();
        for (size_t row = 0; row < rows; ++row) {
            const auto found = graph_.label_lookup_.find(labels[row]);
            if (found != graph_.label_lookup_.end() && !graph_.isMarkedDeleted(found->second))
                graph_.markDeletedInternal(found->second);
        }
        return deleted() - before;
    }

    // The nearest labels, best first, and how many; -1 for a search that was given up.
    int64_t search(const float* query, size_t k, Bounded bounded, Filter* filter, int64_t* labels) const {
        std::vector<char> room;
        const auto found = graph_.searchStopConditionClosest(space_.encode(query, room), bounded, filter);
        if (bounded.gave_up()) return -1;
        const size_t rows = std::min(k, found.size());
        // What hnswlib 0.8.0 calls labels here are places in the graph.
        for (size_t row = 0; row < rows; ++row)
            labels[row] = static_cast<int64_t>(graph_.getExternalLabel(found[row].second));
        return static_cast<int64_t>(rows);
    }

    void labels(int64_t* out) const {
        for (size_t place = 0; place < count(); ++place)
            out[place] = static_cast<int64_t>(graph_.getExternalLabel(place));
    }

    void save(const std::string& path) {
        graph_.saveIndex(path);
        std::ifstream written(path, std::ios::binary | std::ios::ate);
        // hnswlib does not look whether the disk was full.
        if (!written || static_cast<size_t>(written.tellg()) != graph_.indexFileSize())
            throw std::runtime_error("the file was not written whole");
    }

    void load(const std::string& path) {
        graph_.loadIndex(path, &space_);
        // What else depends on the shape, hnswlib takes from the file as it stands.
        if (graph_.label_offset_ - graph_.offsetData_ != space_.get_data_size())
            throw std::runtime_error("the file is of vectors of another kind");
    }

  private:
    static constexpr size_t FIRST_ROOM = 1024;

    Space space_;
    hnswlib::HierarchicalNSW<float> graph_;
};

// ---- Python

struct PyGraph {
    PyObject_HEAD
    Graph* graph;
};

Graph& graph_of(PyObject* self) { return *reinterpret_cast<PyGraph*>(self)->graph; }

PyObject* make(PyTypeObject* type, PyObject* args, PyObject*) {
    Py_ssize_t dim, m, ef_construction;
    int is_l2, quantised;
    if (!PyArg_ParseTuple(args, "nppnn", &dim, &is_l2, &quantised, &m, &ef_construction)) return nullptr;
    if (dim < 1 || m < 2 || ef_construction < 1) {
        PyErr_SetString(PyExc_ValueError, "a graph needs dim >= 1, m >= 2, ef_construction >= 1");
        return nullptr;
    }
    const auto allocate = reinterpret_cast<allocfunc>(PyType_GetSlot(type, Py_tp_alloc));
    PyObject* self = allocate(type, 0);
    if (!self) return nullptr;
    Graph*& graph = reinterpret_cast<PyGraph*>(self)->graph;
    if (!run([&] { graph = new Graph(dim, is_l2, quantised, m, ef_construction); })) Py_CLEAR(self);
    return self;
}

void destroy(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    Graph* graph = reinterpret_cast<PyGraph*>(self)->graph;
    // Of 200,000 elements that takes 40 ms, and the last to let go of one may be an event loop.
    apart([graph] { delete graph; });
    reinterpret_cast<freefunc>(PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

PyObject* add(PyObject* self, PyObject* args) {
    Array<const float> vectors;
    Array<const int64_t> labels;
    Py_ssize_t threads;
    if (!PyArg_ParseTuple(args, "y*y*n", vectors.view(), labels.view(), &threads)) return nullptr;
    Graph& graph = graph_of(self);
    if (threads < 1 || vectors.size() != labels.size() * graph.space().dim()) {
        PyErr_SetString(PyExc_ValueError, "as many vectors as labels are needed, and a thread");
        return nullptr;
    }
    if (!run([&] { graph.add(vectors.data(), labels.data(), labels.size(), threads); })) return nullptr;
    Py_RETURN_NONE;
}

PyObject* forget(PyObject* self, PyObject* args) {
    Array<const int64_t> labels;
    if (!PyArg_ParseTuple(args, "y*", labels.view())) return nullptr;
    size_t marked = 0;
    if (!run([&] { marked = graph_of(self).forget(labels.data(), labels.size()); })) return nullptr;
    return PyLong_FromSize_t(marked);
}

PyObject* search(PyObject* self, PyObject* args) {
    Array<const float> queries;
    Array<const int64_t> among;
    Array<int64_t> labels, found;
    Py_ssize_t ef;
    unsigned long long most;
    double least;
    if (!PyArg_ParseTuple(args, "y*nz*Kdw*w*", queries.view(), &ef, among.view(), &most, &least, labels.view(),
                          found.view()))
        return nullptr;
    const Graph& graph = graph_of(self);
    const size_t rows = found.size(), dim = graph.space().dim();
    if (ef < 1 || rows < 1 || queries.size() != rows * dim || labels.size() % rows) {
        PyErr_SetString(PyExc_ValueError, "the arrays of a search do not fit each other");
        return nullptr;
    }
    const size_t k = labels.size() / rows;
    const bool done = run([&] {
        const Among those(among.data(), among.size());
        Filter filter(those);
        for (size_t row = 0; row < rows; ++row)
            found.data()[row] =
                graph.search(queries.data() + row * dim, k, Bounded(std::max<size_t>(ef, k), most, least),
                             among.given() ? &filter : nullptr, labels.data() + row * k);
    });
    if (!done) return nullptr;
    Py_RETURN_NONE;
}

PyObject* labels(PyObject* self, PyObject* args) {
    Array<int64_t> out;
    if (!PyArg_ParseTuple(args, "w*", out.view())) return nullptr;
    if (out.size() != graph_of(self).count()) {
        PyErr_SetString(PyExc_ValueError, "there must be room for every label");
        return nullptr;
    }
    if (!run([&] { graph_of(self).labels(out.data()); })) return nullptr;
    Py_RETURN_NONE;
}

template <void (Graph::*METHOD)(const std::string&)>
PyObject* with_file(PyObject* self, PyObject* args) {
    PyObject* path = nullptr;
    if (!PyArg_ParseTuple(args, "O&", PyUnicode_FSConverter, &path)) return nullptr;
    const std::string name = PyBytes_AsString(path);
    Py_DECREF(path);
    if (!run([&] { (graph_of(self).*METHOD)(name); })) return nullptr;
    Py_RETURN_NONE;
}

PyObject* count(PyObject* self, void*) { return PyLong_FromSize_t(graph_of(self).count()); }
PyObject* deleted(PyObject* self, void*) { return PyLong_FromSize_t(graph_of(self).deleted()); }

PyMethodDef METHODS[] = {{"add", add, METH_VARARGS, nullptr},
                         {"forget", forget, METH_VARARGS, nullptr},
                         {"search", search, METH_VARARGS, nullptr},
                         {"labels", labels, METH_VARARGS, nullptr},
                         {"save", with_file<&Graph::save>, METH_VARARGS, nullptr},
                         {"load", with_file<&Graph::load>, METH_VARARGS, nullptr},
                         {}};

PyGetSetDef PROPERTIES[] = {{"count", count, nullptr, nullptr, nullptr},
                            {"deleted", deleted, nullptr, nullptr, nullptr},
                            {}};

PyType_Slot SLOTS[] = {{Py_tp_new, reinterpret_cast<void*>(make)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(destroy)},
                       {Py_tp_methods, METHODS},
                       {Py_tp_getset, PROPERTIES},
                       {0, nullptr}};

PyType_Spec SPEC = {"index._hnsw.Graph", sizeof(PyGraph), 0, Py_TPFLAGS_DEFAULT, SLOTS};

}  // namespace

PyMODINIT_FUNC PyInit__hnsw() {
    static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_hnsw", nullptr, -1, nullptr};
    PyObject* made = PyModule_Create(&module);
    PyObject* type = made ? PyType_FromSpec(&SPEC) : nullptr;
    if (!type || PyModule_AddObjectRef(made, "Graph", type) < 0) Py_CLEAR(made);
    Py_XDECREF(type);
    return made;
}
