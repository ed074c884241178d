//! Values of any column as JSON, for metadata.

use arrow_array::{Array, ArrayRef, cast::AsArray, types::Float64Type, types::Int64Type, types::UInt64Type};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use serde_json::Value;

use super::columns::convert;

/// A column whose values can be had as JSON.
pub(super) enum JsonColumn {
    Null,
    Bool(ArrayRef),
    Signed(ArrayRef),
    Unsigned(ArrayRef),
    Float(ArrayRef),
    Text(ArrayRef),
    /// Dates, times, decimals: as text, in the form that RFC 3339 has for them where it has one.
    Shown(ArrayRef),
    List {
        lists: ArrayRef,
        items: Box<JsonColumn>,
    },
    Struct {
        structs: ArrayRef,
        fields: Vec<(String, JsonColumn)>,
    },
}

impl JsonColumn {
    /// Understands a column. `name` is for errors.
    pub fn new(name: &str, column: ArrayRef) -> Result<Self, String> {
        use DataType as T;
        let to = |data_type| convert(name, &column, &data_type);
        Ok(match column.data_type() {
            T::Null => Self::Null,
            T::Boolean => Self::Bool(column),
            T::Int8 | T::Int16 | T::Int32 | T::Int64 => Self::Signed(to(T::Int64)?),
            T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => Self::Unsigned(to(T::UInt64)?),
            T::Float16 | T::Float32 | T::Float64 => Self::Float(to_f64(name, &column)?),
            T::Utf8 | T::LargeUtf8 | T::Utf8View => Self::Text(to(T::LargeUtf8)?),
            T::Date32 | T::Date64 | T::Time32(_) | T::Time64(_) | T::Timestamp(..) => Self::Shown(column),
            T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..) => {
                Self::Shown(column)
            }
            T::Dictionary(_, values) => return Self::new(name, to(values.as_ref().clone())?),
            T::List(field) | T::LargeList(field) | T::FixedSizeList(field, _) => {
                let lists = to(T::LargeList(field.clone()))?;
                let items = Box::new(Self::new(name, lists.as_list::<i64>().values().clone())?);
                Self::List { lists, items }
            }
            T::Struct(fields) => {
                let columns = column.as_struct().columns().iter();
                let fields = fields.iter().zip(columns).map(|(field, column)| {
                    let name = format!("{name}.{}", field.name());
                    Ok((field.name().clone(), Self::new(&name, column.clone())?))
                });
                Self::Struct { fields: fields.collect::<Result<_, String>>()?, structs: column }
            }
            other => {
                return Err(format!(
                    "column {name} is {other}, which is not for JSON metadata; name the columns you want with --metadata-columns"
                ));
            }
        })
    }

    /// The value of a row.
    pub fn get(&self, row: usize) -> Result<Value, String> {
        let column = match self {
            Self::Null => return Ok(Value::Null),
            Self::Bool(column) | Self::Signed(column) | Self::Unsigned(column) | Self::Float(column) => {
                column
            }
            Self::Text(column) | Self::Shown(column) => column,
            Self::List { lists: column, .. } | Self::Struct { structs: column, .. } => column,
        };
        if column.is_null(row) {
            return Ok(Value::Null);
        }
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(column) => column.as_boolean().value(row).into(),
            Self::Signed(column) => column.as_primitive::<Int64Type>().value(row).into(),
            Self::Unsigned(column) => column.as_primitive::<UInt64Type>().value(row).into(),
            // NaN and infinities, which JSON lacks, become null.
            Self::Float(column) => column.as_primitive::<Float64Type>().value(row).into(),
            Self::Text(column) => column.as_string::<i64>().value(row).into(),
            Self::Shown(column) => {
                let options = FormatOptions::default();
                let formatter =
                    ArrayFormatter::try_new(column, &options).map_err(|error| error.to_string())?;
                formatter.value(row).to_string().into()
            }
            Self::List { lists, items } => {
                let offsets = lists.as_list::<i64>().value_offsets();
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                Value::Array(range.map(|item| items.get(item)).collect::<Result<_, _>>()?)
            }
            Self::Struct { fields, .. } => {
                let fields = fields.iter().map(|(name, column)| Ok((name.clone(), column.get(row)?)));
                Value::Object(fields.collect::<Result<_, String>>()?)
            }
        })
    }
}

/// A float column as f64 that reads the same: 0.1 stays 0.1 instead of 0.10000000149.
fn to_f64(name: &str, column: &ArrayRef) -> Result<ArrayRef, String> {
    if column.data_type() == &DataType::Float64 {
        return Ok(column.clone());
    }
    let shortest = convert(name, column, &DataType::Float32)?;
    let shortest = shortest.as_primitive::<arrow_array::types::Float32Type>();
    let as_read = |value: f32| value.to_string().parse::<f64>().unwrap_or(f64::from(value));
    Ok(std::sync::Arc::new(shortest.unary::<_, Float64Type>(as_read)))
}
