// Reads every view through JDBC: java.sql.Types.OTHER stands for what the driver does not know, jsonb apart.
import java.sql.*;
import java.util.*;

public class JdbcClient {
	public static void main(String[] arguments) throws Exception {
		try (Connection db = DriverManager.getConnection(arguments[0], arguments[1], ""); Statement statement = db.createStatement()) {
			List<String> views = new ArrayList<>();
			try (ResultSet found = db.getMetaData().getTables(null, "smsflow_bi", null, new String[] {"VIEW"})) {
				while (found.next())
					views.add(found.getString("TABLE_NAME"));
			}
			for (String view : views)
				read(statement, view);
		}
	}

	static void read(Statement statement, String view) throws SQLException {
		try (ResultSet rows = statement.executeQuery("SELECT * FROM smsflow_bi.\"" + view + "\" LIMIT 5")) {
			ResultSetMetaData columns = rows.getMetaData();
			for (int i = 1; i <= columns.getColumnCount(); i++) {
				boolean known = columns.getColumnType(i) != Types.OTHER || columns.getColumnTypeName(i).equals("jsonb");
				System.out.println(view + " " + columns.getColumnName(i) + (known ? " known" : " unknown type " + columns.getColumnTypeName(i)));
			}
			while (rows.next())
				for (int i = 1; i <= columns.getColumnCount(); i++)
					rows.getObject(i);
		}
	}
}
